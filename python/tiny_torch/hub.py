"""Downloads of checkpoints, and models from repositories on this machine."""
import os
import re
import sys

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")
READ_DATA_CHUNK = 128 * 1024
_hub_dir = None


def _get_torch_home():
    home = os.environ.get("TORCH_HOME")
    if home is None:
        home = os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch")
    return os.path.expanduser(home)


def get_dir():
    """The folder of downloads: `$TORCH_HOME/hub`."""
    return _hub_dir if _hub_dir is not None else os.path.join(_get_torch_home(), "hub")


def set_dir(d):
    global _hub_dir
    _hub_dir = os.path.expanduser(d)


def download_url_to_file(url, dst, hash_prefix=None, progress=True):
    """Downloads to a file, which appears when it is complete and, if `hash_prefix` is given, has that SHA-256."""
    import hashlib
    import urllib.request

    from .serialization import _AtomicFile

    digest = hashlib.sha256()
    request = urllib.request.Request(url, headers={"User-Agent": "torch.hub"})
    with urllib.request.urlopen(request) as source, _AtomicFile(dst) as target:
        total = int(source.headers.get("Content-Length") or 0)
        done = 0
        while chunk := source.read(READ_DATA_CHUNK):
            target.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if progress and sys.stderr.isatty():
                share = f"{done / total:6.1%}" if total else f"{done >> 20} MB"
                sys.stderr.write(f"\r{share}")
        if progress and sys.stderr.isatty():
            sys.stderr.write("\n")
        if hash_prefix is not None and not digest.hexdigest().startswith(hash_prefix):
            raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{digest.hexdigest()}")')


def load_state_dict_from_url(url, model_dir=None, map_location=None, progress=True, check_hash=False, file_name=None, weights_only=True):
    """`torch.load` of a download that is kept in `model_dir`."""
    import urllib.parse

    from .serialization import load

    model_dir = os.path.join(get_dir(), "checkpoints") if model_dir is None else model_dir
    os.makedirs(model_dir, exist_ok=True)
    name = file_name or os.path.basename(urllib.parse.urlparse(url).path)
    path = os.path.join(model_dir, name)
    if not os.path.exists(path):
        sys.stderr.write(f'Downloading: "{url}" to {path}\n')
        match = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, path, match.group(1) if match else None, progress)
    return load(path, map_location=map_location, weights_only=weights_only)


def _entry_points(repo_dir):
    import importlib.util

    path = os.path.join(repo_dir, "hubconf.py")
    if not os.path.exists(path):
        raise FileNotFoundError(f"no hubconf.py in {repo_dir}")
    spec = importlib.util.spec_from_file_location("hubconf", path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, repo_dir)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(repo_dir)
    return module


def load(repo_or_dir, model, *args, source="github", trust_repo=None, force_reload=False, verbose=True, skip_validation=False, **kwargs):
    """Calls the entry point `model` of a folder's hubconf.py. Repositories are not downloaded: `source="local"`."""
    if source != "local":
        raise NotImplementedError(
            "torch.hub.load: tiny_torch runs no code that it would have to download; clone the repository and pass source='local'"
        )
    return getattr(_entry_points(os.path.expanduser(repo_or_dir)), model)(*args, **kwargs)


def list(github, force_reload=False, skip_validation=False, trust_repo=None, verbose=True):  # noqa: A001
    """The entry points of a folder's hubconf.py."""
    module = _entry_points(os.path.expanduser(github))
    return [name for name in dir(module) if callable(getattr(module, name)) and not name.startswith("_")]


def help(github, model, force_reload=False, skip_validation=False, trust_repo=None):  # noqa: A001
    """The documentation of an entry point."""
    return getattr(_entry_points(os.path.expanduser(github)), model).__doc__
