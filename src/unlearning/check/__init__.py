"""Before anyone waits: whether what params.yaml asks for is possible, what it will take, what it can show."""
