"""Any classifier that ends in a linear layer: where its layers are, and a whole game on each family."""

import pytest
import torch
from conftest import play
from torch import nn

from unlearning.base.errors import UserError
from unlearning.data.dataset import Labelling
from unlearning.methods import adversarial
from unlearning.models import build
from unlearning.models.anatomy import NoClassifierError, explore, matrices, per_image
from unlearning.models.build import new_classifier
from unlearning.models.classifier import LUMA, Architecture
from unlearning.models.foreign import fill, head_of
from unlearning.models.forward import predict_logits
from unlearning.models.layers import FEATURES, LAYERS, LOGITS
from unlearning.models.perturb import shrink_and_perturb
from unlearning.models.weights import load_classifier, save
from unlearning.running.resume import Checkpoint
from unlearning.settings.model import ModelParams

# Of batch, layer and group normalisation; convolutions, depthwise ones and attention; heads within heads.
FAMILIES = (
    "resnet18",
    "timm/test_convnext",
    "timm/test_vit",
    "timm/test_efficientnet_gn",
    "mobilenet_v3_small",
    "timm/test_byobnet",
)
GREY = Architecture("timm/test_efficientnet", mean=(0.5,), std=(0.25,))


def params(**changes: object) -> ModelParams:
    plain = {"name": "resnet18", "stem": "standard", "mean": None, "std": None}
    return ModelParams(**plain | {"weights": None, "classes": [], "start": None} | changes)


def test_the_layers_of_a_resnet_18_are_its_stages():
    """Must fail if units are cut elsewhere: figures of earlier runs would mean other layers."""
    for size in (32, 64, 224):
        anatomy = new_classifier(Architecture(), size, 10, 0).anatomy
        assert dict(anatomy.layers) == {
            "stem": "maxpool", "layer1": "layer1", "layer2": "layer2", "layer3": "layer3"
        }  # fmt: skip
        assert anatomy.head == "fc"
        assert anatomy.learned == ("layer1", "layer2", "layer3", "layer4", "avgpool", "fc")


def test_the_layers_of_a_transformer_are_a_quarter_of_its_blocks_apart():
    """Must fail if arithmetic is not what cuts a network without stages."""
    anatomy = new_classifier(Architecture("timm/vit_tiny_patch16_224"), 32, 4, 0).anatomy
    assert [anatomy.layers[name] for name in LAYERS[1:4]] == ["blocks.2", "blocks.5", "blocks.8"]
    assert anatomy.layers["stem"] not in anatomy.learned
    assert {"blocks.2", "blocks.3", "norm", "head"} <= set(anatomy.learned)


def test_a_stage_that_does_half_of_the_work_is_cut_into_its_blocks():
    """Must fail if a unit may be larger than a third: two layers would be one and the same."""
    anatomy = new_classifier(Architecture("timm/convnext_atto"), 64, 4, 0).anatomy
    assert [anatomy.layers[name] for name in LAYERS[1:4]] == [
        "stages.1", "stages.2.blocks.1", "stages.2.blocks.4"
    ]  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_features_times_the_last_layer_are_the_logits(name):
    """Must fail if another layer is taken for the last, features are not its input, or hooks stay behind.

    Or if what holds the last layer beside others is one unit with it.
    """
    model = new_classifier(Architecture(name), 32, 4, seed=0).eval()
    assert model.anatomy.head in model.anatomy.learned
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        found = model.look(images, LAYERS)
        torch.testing.assert_close(found[LOGITS], model(images))
        torch.testing.assert_close(model.head(found[FEATURES]), found[LOGITS])
    assert list(found) == [*LAYERS, LOGITS]
    assert all(found[layer].shape[0] == 3 and found[layer].dim() == 2 for layer in LAYERS)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_layers_mean_is_over_space_whichever_dimension_that_is():
    """Must fail if tokens, or a layout with channels last, are averaged over channels."""
    values = torch.rand(2, 5, 3, 3)
    mean = values.mean(dim=(2, 3))
    torch.testing.assert_close(per_image(values), mean)
    torch.testing.assert_close(per_image(values.permute(0, 2, 3, 1)), mean)
    torch.testing.assert_close(per_image(values.flatten(2).transpose(1, 2)), mean)
    assert torch.equal(per_image(mean), mean)
    assert per_image(torch.rand(2, 4, 4, 4).bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_plays_the_game_and_forgets(
    name, make_data, make_game, cpu, tmp_path, monkeypatch
):
    """Must fail if the stem moves, the head is not retired, or the file does not come back."""
    data = make_data({"cat": 6, "dog": 6, "elephant": 6, "horse": 6}, held_out=5)
    original = new_classifier(Architecture(name), 32, 4, seed=0)
    knobs = make_game(batch_size=8, noise=0.4)
    monkeypatch.setattr(adversarial, "length", lambda *_: 10)  # one a round
    players = adversarial.init_players(original, 0, knobs.noise)
    unlearned = play("adversarial", players, data, knobs, cpu).generator
    below, above = set(), set()
    for part, weight in original.network.named_parameters():
        moved = not torch.equal(weight, unlearned.network.get_parameter(part))
        (above if moved else below).add(part)
    learned = original.anatomy.learned
    of_learned = {
        part for part in below | above if part.startswith(tuple(f"{each}." for each in learned))
    }
    assert above <= of_learned
    assert {f"{original.anatomy.head}.weight"} <= above
    logits = predict_logits(unlearned, data, torch.arange(len(data.labels)), cpu)
    assert not (logits.argmax(dim=1) == data.classes.index("elephant")).any()

    save(unlearned, data.labelling, tmp_path / "m.safetensors")
    again, _ = load_classifier(tmp_path / "m.safetensors")
    assert again.architecture == unlearned.architecture
    torch.testing.assert_close(predict_logits(again, data, torch.arange(4), cpu), logits[:4])


@pytest.mark.parametrize("name", ["regnet_y_400mf", "mnasnet0_5"])
def test_a_state_comes_back_from_every_file(name, tmp_path):
    """Must fail if a RegNet is built without memory, or a MNASNet's state is loaded without its versions."""
    model = new_classifier(Architecture(name), 32, 4, seed=0)
    path = tmp_path / "m.safetensors"
    save(model, Labelling(("a", "b", "c", "d"), 32), path)
    state, checkpoint = model.network.state_dict(), Checkpoint(tmp_path / "state.safetensors")
    checkpoint.save(1, [], {"model": model})
    kept, given = (new_classifier(Architecture(name), 32, 4, seed=1) for _ in range(2))
    checkpoint.restore({"model": kept})
    fill(given.network, dict(state), "", head=head_of(given))
    for again in (load_classifier(path)[0], kept, given):
        assert all(
            torch.equal(state[part], value) for part, value in again.network.state_dict().items()
        )


@pytest.mark.parametrize("name", FAMILIES)
def test_noise_reaches_matrices_alone(name):
    """Must fail if a bias, a scale or a table of positions is perturbed, or an attention's weights are not."""
    model = new_classifier(Architecture(name), 32, 4, seed=0)
    perturbed = shrink_and_perturb(model, 0.5, seed=0)
    expected = {id(weight) for part in perturbed.learned for weight in matrices(part)}
    for part, weight in perturbed.network.named_parameters():
        moved = not torch.equal(weight, model.network.get_parameter(part))
        assert moved == (id(weight) in expected), part


def test_grey_images_are_the_luma_of_the_colours():
    """Must fail if one colour is taken, or three channels are fed to a network of one."""
    model = new_classifier(GREY, 32, 4, seed=0).eval()
    seen = []
    model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.rand(2, 3, 32, 32)
    model(images)
    luma = sum(share * images[:, channel] for channel, share in enumerate(LUMA))
    torch.testing.assert_close(seen[0], (luma[:, None] - 0.5) / 0.25)
    grey = build.network(Architecture(mean=(0.5,), std=(0.2,)), 32, 4)
    assert grey.conv1.weight.shape == (64, 1, 7, 7)


def test_a_small_stem_keeps_the_size_of_the_image():
    """Must fail if the stride or the pooling stays, or a network without a ResNet's stem is taken."""
    small = new_classifier(Architecture(stem="small"), 32, 4, seed=0)
    assert small.network.conv1.weight.shape == (64, 3, 3, 3)
    assert small.network.maxpool(small.network.conv1(torch.rand(1, 3, 32, 32))).shape[2:] == (
        32,
        32,
    )
    with pytest.raises(UserError, match=r"'mobilenet_v3_small', but with model\.stem 'small'"):
        build.of_params(params(name="mobilenet_v3_small", stem="small"), 32)


def test_fresh_weights_of_a_role_are_those_of_no_small_seed():
    """Must fail if a baseline begins as a reference, or what is held to know nothing as the original."""
    model = new_classifier(GREY, 32, 4, seed=0)
    roles = ("generator", "feature extractor", "euk", "random network")
    made = [new_classifier(GREY, 32, 4, seed) for seed in range(4)]
    made += [build.anew(model, role, seed) for role in roles for seed in (0, 1)]
    assert len({network.head.weight.sum().item() for network in made}) == len(made)
    again = build.anew(model, "euk", 1).head.weight
    assert torch.equal(again, build.anew(made[5], "euk", 1).head.weight)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("resnet81", "did you mean 'resnet18'"),
        ("timm/resnet81", "did you mean 'timm/resnet"),
        ("timm/hf-hub:someone/model", "neither torchvision nor timm"),
        ("fasterrcnn_resnet50_fpn", "neither torchvision nor timm"),
        ("squeezenet1_0", "its last layer is not a linear one"),
        ("googlenet", "GoogLeNetOutputs while it trains"),
        ("vit_b_16", "cannot take images of 50 pixels"),
        ("timm/coat_lite_tiny", "parts of it share weights"),
        ("timm/lambda_resnet26t", "cannot be laid out channels last"),
    ],
)
def test_what_does_not_suit_is_refused_in_one_line(name, why):
    """Must fail if a library's own exception escapes, or what no file can hold is trained."""
    with pytest.raises(UserError, match=r"^params\.yaml: model\.name is ") as caught:
        build.of_params(params(name=name), 50)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_normalisation_is_the_librarys_own_unless_it_is_given():
    """Must fail if every network is given ImageNet's."""
    assert build.of_params(params(name="timm/test_vit"), 32).mean == (0.5, 0.5, 0.5)
    assert build.of_params(params(), 32) == Architecture()
    given = build.of_params(params(mean=[0.1, 0.2, 0.3], std=[1, 1, 1]), 32)
    assert given.mean == (0.1, 0.2, 0.3)


def test_a_network_of_one_layer_is_none_to_look_into():
    """Must fail if the last layer is taken for all others too."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    with pytest.raises(ValueError, match="nothing but its last layer has weights"):
        explore(network, torch.zeros(2, 3, 8, 8))


class Block(nn.Module):
    """A convolution whose output comes in a list; with `halves` it is given each image as two rows."""

    def __init__(self, halves: bool = False):
        super().__init__()
        self.halves = halves
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, given):
        images = given[0] if isinstance(given, list) else given
        if self.halves:
            return [torch.cat(self.conv(torch.cat(images.chunk(2, dim=2))).chunk(2), dim=2)]
        return [self.conv(images)]


class Blocks(nn.Module):
    """Blocks, and a last layer."""

    def __init__(self, *blocks: nn.Module):
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(3, 2)

    def forward(self, images):
        return self.head(self.blocks(images)[0].mean(dim=(2, 3)))


def test_of_blocks_that_give_lists_the_parts_are_layers():
    """Must fail if they are passed over: none would be learned. Or if no two layers may be one."""
    anatomy = explore(Blocks(Block(), Block(), Block(), Block()), torch.rand(2, 3, 8, 8))
    assert [anatomy.layers[name] for name in LAYERS[1:4]] == [
        "blocks.0.conv", "blocks.1.conv", "blocks.2.conv"
    ]  # fmt: skip
    assert anatomy.learned == ("blocks.1.conv", "blocks.2.conv", "blocks.3.conv", "head")
    few = explore(Blocks(Block(), Block()), torch.rand(2, 3, 8, 8))
    assert [few.layers[name] for name in LAYERS[1:4]] == [
        "blocks.0.conv", "blocks.0.conv", "blocks.1.conv"
    ]  # fmt: skip


class Recurrent(nn.Module):
    """A recurrent layer over the pixels, as in a Sequencer; its output comes in a list, or as it is."""

    def __init__(self, listed: bool):
        super().__init__()
        self.listed = listed
        self.rnn = nn.LSTM(3, 3, batch_first=True)

    def forward(self, given):
        images = given[0]
        found = self.rnn(images.flatten(2).transpose(1, 2))[0]
        found = found.transpose(1, 2).reshape(images.shape)
        return [found] if self.listed else found


@pytest.mark.parametrize(
    ("blocks", "why"),
    [
        (
            [Block(), Block(), Recurrent(listed=False), Block()],
            "30% of its weights above the stem are of no convolution",
        ),
        (
            [Block(), Block(), Recurrent(listed=True), Block()],
            r"part 'blocks\.2\.rnn' gives no tensor of",
        ),
        (
            [Block(), Block(), Block(halves=True), Block()],
            r"part 'blocks\.2\.conv' gives no tensor of",
        ),
        ([Block()], r"cannot be told apart: all would be 'blocks\.0\.conv'"),
    ],
)
def test_what_would_not_be_learned_is_refused(blocks, why):
    """Must fail if rows of half an image count as images, a matrix may stay as it is, or layers coincide.

    Or if noise would pass over weights of a kind that nobody knows.
    """
    with pytest.raises(NoClassifierError, match=why):
        explore(Blocks(*blocks), torch.rand(2, 3, 8, 8))
