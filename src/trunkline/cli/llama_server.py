"""The program that runs llama.cpp's own HTTP server (by way of the `xllamacpp` wheel) on a free loopback port.

Owns nothing but the translation of `llama.LlamaSettings` (JSON, first argument) to llama.cpp's parameters.
It runs under the Python of the model server's environment, which has no Trunkline: hence the standard library
and xllamacpp alone. It prints the server's address when the model is loaded, then serves until it is ended.
"""

import importlib
import json
import sys
import threading
from typing import Any


def main() -> None:
    """Load the model, print the address, serve for ever."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    xllamacpp: Any = importlib.import_module("xllamacpp")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = settings["model_path"]
    parameters.model_alias = {settings["alias"]}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = settings["context"]
    parameters.n_parallel = settings["parallel"]
    parameters.cpuparams.n_threads = settings["threads"]
    parameters.api_keys = [settings["api_key"]] if settings["api_key"] else []
    parameters.endpoint_slots = True
    if settings["embeddings"]:
        parameters.embedding = True
        parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    # The server stops when the object is collected, so it keeps a name.
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
