"""Whom our game's generator meets over forget images: the auditor of members, the article's discriminator."""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unlearning.data.dataset import Dataset, scaled
from unlearning.methods.shared.game import Monitor, Run, adam
from unlearning.methods.shared.losses import discriminator_loss, generator_loss
from unlearning.methods.shared.members import ODDS, Auditor, Known
from unlearning.models.classifier import Classifier
from unlearning.models.layers import DEEP, LOGITS
from unlearning.models.train import one_cycle
from unlearning.running.resume import Parts
from unlearning.settings.game import GameParams


class Adversaries:
    """They see what the generator makes of `known` images, in so many steps; `adversary` says whom to deceive.

    The discriminator learns in any case, and keeps the article's score. It takes for real what the original
    answers to retain images. There is an auditor only if it is the one to deceive.
    """

    def __init__(
        self,
        original: Classifier,
        data: Dataset,
        known: Known,
        params: GameParams,
        run: Run,
        steps: int,
    ):
        self._data, self._known, self._hardware = data, known, run.hardware
        self._adversary = params.adversary
        device = run.hardware.device
        self._original = copy.deepcopy(original).to(device).eval()
        self._auditor = None
        if params.adversary == "members":
            views = (ODDS,) if data.request.images else DEEP
            self._auditor = Auditor(
                views, members=known.members, unseen=known.unseen, device=device
            )
        self.discriminator = copy.deepcopy(run.players.discriminator).to(device).train()
        self._optimizer = adam(self.discriminator, params)
        self._schedule = one_cycle(self._optimizer, steps)

    @property
    def parts(self) -> Parts:
        """Return what has a state, by the name under which a game keeps it."""
        parts: Parts = {
            "discriminator": self.discriminator,
            "discriminator_optimizer": self._optimizer,
            "discriminator_schedule": self._schedule,
        }
        return {**parts, "auditor": self._auditor} if self._auditor else parts

    def meet(
        self,
        generator: Classifier,
        places: Int[Tensor, " K"],
        retain_images: Float[Tensor, "R 3 H W"],
        monitor: Monitor,
    ) -> Float[Tensor, ""]:
        """Return what the generator loses to the one that it must deceive, over the known images at `places`.

        It is left in evaluation mode: what normalises these images are statistics of retain images, and so it
        is when somebody looks for members afterwards.
        """
        generator.eval()
        if self._auditor and not self._auditor.has_looked:
            self._auditor.look(generator, self._data, self._known, self._hardware)
        pixels = self._data.pixels(self._known.images[places])
        with self._hardware.autocast():
            found = generator.look(scaled(pixels, self._hardware.device), DEEP)
        of_members = found[LOGITS][places < self._known.members]
        self._train_discriminator(of_members.detach(), retain_images[: len(of_members)], monitor)
        if self._auditor:
            views = self._auditor.seen(found, self._known.labels[places])
            loss = self._auditor.advantage(views, places.to(self._hardware.device))
        elif self._adversary == "discriminator":
            loss = generator_loss(self.discriminator(of_members))
        else:
            loss = of_members.new_zeros(())
        monitor.losses(generator_loss=loss)
        return loss

    def _train_discriminator(
        self,
        of_members: Float[Tensor, "M C"],
        retain_images: Float[Tensor, "M 3 H W"],
        monitor: Monitor,
    ) -> None:
        """Take its step (A8): what the original makes of retain images is real, these outputs are fake."""
        with torch.no_grad(), self._hardware.autocast():
            outputs = self._original(retain_images)
        real, fake = self.discriminator(outputs.float()), self.discriminator(of_members)
        loss = discriminator_loss(real, fake)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._schedule.step()
        monitor.losses(discriminator_loss=loss)
        monitor.discrimination(real, fake)
