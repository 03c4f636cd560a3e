"""The older home of `torch.hub`'s downloads."""
from ..hub import _get_torch_home, download_url_to_file, load_state_dict_from_url

load_url = load_state_dict_from_url
_download_url_to_file = download_url_to_file

__all__ = ["load_url"]
