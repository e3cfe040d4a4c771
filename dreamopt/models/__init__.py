"""Public Caffe models: what is known about each, where to get it, and a cache of what was fetched."""

from dreamopt.models.cache import cache_folder, cached, fetch, locate
from dreamopt.models.catalogue import Catalogue, Model, RemoteFile, load_catalogue

__all__ = ["Catalogue", "Model", "RemoteFile", "cache_folder", "cached", "fetch", "load_catalogue", "locate"]
