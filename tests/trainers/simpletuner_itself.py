"""SimpleTuner's own code reads a dataset; run as a process of its own, for it takes torch's place.

    python simpletuner_itself.py FOLDER ENTRY

FOLDER holds the package of its wheel. What these modules need only to train is stood in for. The
entry is the path of a multidatabackend.json, the first entry of which is read. Printed is, for each
sample of shards that is in a bucket, its bucket, its captions and the digest of its bytes, and for
each image of a folder its captions.
"""

# ruff: noqa: ARG002, ARG005, PLC0415, T201 - stand-ins take anything; imports come after them

import hashlib
import importlib.abc
import importlib.machinery
import json
import logging
import os
import re
import sys
import types

ABSENT = (
    *("torch", "torchvision", "torchaudio", "torch_xla", "accelerate", "diffusers", "peft"),
    *("transformers", "optimum", "bitsandbytes", "lycoris", "safetensors", "trainingsample"),
    *("cv2", "boto3", "wandb", "psutil", "einops", "requests", "pydantic", "fastapi"),
    *("simpletuner.simpletuner_sdk", "huggingface_hub", "atomicwrites"),
)


class Anything(type):
    """A class that has whatever is asked of it."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(name)

    def __or__(cls, other):
        return cls

    def __ror__(cls, other):
        return cls


def stand_in(name):
    methods = {
        "__init__": lambda self, *args, **kwargs: None,
        "__getattr__": lambda self, name: stand_in(name),
        "__class_getitem__": classmethod(lambda cls, item: cls),
        "__call__": lambda self, *args, **kwargs: args[0] if args else None,
    }
    return Anything(name, (Warning,), methods)  # some are used as a category of warnings


class Module(types.ModuleType):
    """A module of what is not there."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, stand_in(name))
        return getattr(self, name)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds stand-ins for what is absent."""

    def find_spec(self, name, path=None, target=None):
        if any(name == one or name.startswith(f"{one}.") for one in ABSENT):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return Module(spec.name)

    def exec_module(self, module):
        pass


def stand_in_for_training(folder):
    sys.modules.setdefault("regex", re)
    sys.meta_path.insert(0, Finder())
    sys.path.insert(0, folder)


class Unset:
    """The trainer's arguments, hardly any of which is set."""

    def __getattr__(self, name):
        return None


def read_webshart(entry):
    from simpletuner.helpers.data_backend.webshart import WebshartDataBackend
    from simpletuner.helpers.metadata.backends.webshart import WebshartMetadataBackend
    from simpletuner.helpers.prompts import PromptHandler
    from simpletuner.helpers.training.state_tracker import StateTracker

    name, cache = entry["id"], entry["webshart"]["cache_dir"]
    StateTracker.set_data_backend_config(name, entry)
    StateTracker.args = Unset()
    StateTracker.args.output_dir = cache  # where it notes sizes
    StateTracker.get_args = lambda *_: StateTracker.args
    StateTracker.get_model = lambda *_: None
    StateTracker.get_webhook_handler = lambda *_: None
    StateTracker.set_image_files = lambda *_, **__: None
    accelerator = types.SimpleNamespace(is_main_process=True, num_processes=1)
    backend = WebshartDataBackend(
        accelerator,
        name,
        entry["source"],
        entry["metadata"],
        cache_dir=cache,
        shard_cache_gb=entry["webshart"]["shard_cache_gb"],
    )
    metadata = WebshartMetadataBackend(
        id=name,
        instance_data_dir=cache,
        cache_file=f"{cache}/aspect_ratio_bucket_indices_{name}",
        metadata_file=f"{cache}/aspect_ratio_bucket_metadata_{name}",
        data_backend=backend,
        accelerator=accelerator,
        batch_size=1,
        resolution=entry["resolution"],
        resolution_type=entry["resolution_type"],
        minimum_image_size=entry.get("minimum_image_size"),
    )
    metadata.bucket_report = None
    metadata.compute_aspect_ratio_bucket_indices(ignore_existing_cache=True)
    StateTracker.get_data_backend = lambda *_: {"metadata_backend": metadata}
    found = {}
    for bucket, paths in metadata.aspect_ratio_bucket_indices.items():
        for path in paths:
            captions = PromptHandler.prepare_instance_prompt_from_webshart(
                path, use_captions=True, prepend_instance_prompt=False, data_backend=backend
            )
            found[backend.parse_sample_id(path).filename] = {
                "bucket": float(bucket),
                "captions": captions,
                "sha256": hashlib.sha256(backend.read(path)).hexdigest(),
            }
    return found


def read_folder(entry):
    from simpletuner.helpers import prompts
    from simpletuner.helpers.data_backend.local import LocalDataBackend
    from simpletuner.helpers.training.state_tracker import StateTracker

    prompts.get_rank = lambda: 0  # it asks accelerate
    name, data = entry["id"], entry["instance_data_dir"]
    accelerator = types.SimpleNamespace(is_main_process=True, num_processes=1)
    backend = LocalDataBackend(accelerator, name)
    StateTracker.args = Unset()
    StateTracker.get_model = lambda *_: None
    StateTracker.set_data_backend_config(name, entry)
    listed = backend.list_files(["png"], data)  # a triple for each folder
    StateTracker.get_image_files = lambda *_, **__: [path for one in listed for path in one[2]]
    if entry["caption_strategy"] == "parquet":
        columns = metadata_of_table(entry, backend, accelerator)
        StateTracker.get_data_backend = lambda *_: {"metadata_backend": columns}
        config = entry["parquet"]
        names = ("filename_column", "caption_column", "fallback_caption_column")
        whole = config.get("identifier_includes_extension", False)
        StateTracker.set_parquet_database(
            name, (columns.parquet_database, *map(config.get, names), whole)
        )
    captions, missing, paths = prompts.PromptHandler.get_all_captions(
        instance_data_dir=data,
        use_captions=True,
        prepend_instance_prompt=False,
        data_backend=backend,
        caption_strategy=entry["caption_strategy"],
        return_image_paths=True,
    )
    assert not missing
    found = {}
    for path, caption in zip(paths, captions, strict=True):
        found.setdefault(os.path.relpath(path, data), []).append(caption)
    return found


def metadata_of_table(entry, backend, accelerator):
    from simpletuner.helpers.metadata.backends.parquet import ParquetMetadataBackend

    return ParquetMetadataBackend(
        id=entry["id"],
        instance_data_dir=entry["instance_data_dir"],
        cache_file=f"{entry['cache_dir_vae']}/indices",
        metadata_file=f"{entry['cache_dir_vae']}/metadata",
        data_backend=backend,
        accelerator=accelerator,
        batch_size=1,
        resolution=entry["resolution"],
        resolution_type=entry["resolution_type"],
        parquet_config=entry["parquet"],
        minimum_image_size=entry.get("minimum_image_size"),
    )


if __name__ == "__main__":
    logging.disable()
    stand_in_for_training(sys.argv[1])
    with open(sys.argv[2]) as file:
        entry = json.load(file)[0]
    print(json.dumps((read_webshart if entry["type"] == "webshart" else read_folder)(entry)))
