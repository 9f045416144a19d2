"""Reads gridmf's files with h5py and SciPy: ids, factors, ratings and recommendations as NumPy arrays.

    import gridmf                       # this file, on PYTHONPATH
    model = gridmf.load("model.h5")     # or a dataset, or recommendations: what it is, the file says
    model.item_ids[:3], model.item_factors.shape, model.attrs["algorithm"]
    model.scores(model.user_row("42"))  # of all items

Arrays are read when they are first used; close the file, or use it in a with statement, when no more are wanted.
"""

import functools

import h5py
import numpy as np
import scipy.sparse

__all__ = ["load", "load_parts", "File", "Dataset", "Model", "Recommendations"]


def load(path):
    """The file as a Dataset, a Model or Recommendations; ValueError for any other."""
    f = h5py.File(path, "r")
    kind = KINDS.get(f.attrs.get("format"))
    if kind is None or f.attrs.get("complete") != 1:
        f.close()
        raise ValueError(f"{path}: not a complete file of gridmf")
    return kind(f)


def load_parts(paths):
    """Files of `gridmf recommend --users-range`, in any order, as the Recommendations of the whole.

    ValueError unless they are of one model and one set of options, and every user is in exactly one of them.
    """
    parts = sorted((load(path) for path in paths), key=lambda part: (part.attrs["users_begin"], part.attrs["n_users"]))
    begin = 0
    for part in parts:
        for name in ("format", "model_fingerprint", "candidates", "top", "include_seen", "include_cold", "users_total"):
            if part.attrs.get(name) != parts[0].attrs.get(name):
                raise ValueError(f"{part.file.filename}: @{name} is not that of {parts[0].file.filename}")
        if part.attrs["users_begin"] != begin:
            raise ValueError(f"{part.file.filename}: begins with user {part.attrs['users_begin']}, where {begin} is next")
        begin += part.attrs["n_users"]
    if not parts or begin != parts[0].attrs["users_total"]:
        raise ValueError(f"users from {begin} on are in no file")
    whole = parts[0]
    for name in ("user_ids", "items", "scores", "counts"):  # in place of what would be read from the first file alone
        setattr(whole, name, np.concatenate([getattr(part, name) for part in parts]))
    whole.attrs["n_users"] = begin
    for part in parts[1:]:
        part.close()
    return whole


class File:
    """What all files have: ids of users and items, attributes."""

    def __init__(self, file):
        self.file = file
        self.attrs = dict(file.attrs)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()

    def _array(self, name):
        return self.file[name][()] if name in self.file else None

    def _ids(self, side):
        ids = self.file[side]["id"]
        return ids[()] if ids.dtype.kind == "i" else ids.asstr()[()].astype(str)

    def _csr(self, name):
        g = self.file[name]
        return scipy.sparse.csr_matrix((g["data"][()], g["indices"][()], g["indptr"][()]), shape=tuple(g.attrs["shape"]))

    @functools.cached_property
    def user_ids(self):
        """int64 or str, in the order of the rows."""
        return self._ids("users")

    @functools.cached_property
    def item_ids(self):
        return self._ids("items")

    @functools.cached_property
    def _rows(self):
        return [{str(i): row for row, i in enumerate(ids)} for ids in (self.user_ids, self.item_ids)]

    def user_row(self, user):
        """The row of a user's id, given as number or text; KeyError."""
        return self._rows[0][str(user)]

    def item_row(self, item):
        return self._rows[1][str(item)]


class Dataset(File):
    @functools.cached_property
    def ratings(self):
        """scipy.sparse.csr_matrix [users, items]."""
        return self._csr("ratings")

    @functools.cached_property
    def times(self):
        """Seconds, in the order of ratings.data; None where there are none."""
        return self._array("ratings/time")

    @functools.cached_property
    def weights(self):
        return self._array("ratings/weight")


class Model(File):
    """user_factors and the like are None where a model has none: biases, factors of item-based models."""

    @functools.cached_property
    def user_factors(self):
        """[users, k], f4 or f8."""
        return self._array("users/factors")

    @functools.cached_property
    def item_factors(self):
        return self._array("items/factors")

    @functools.cached_property
    def user_bias(self):
        return self._array("users/bias")

    @functools.cached_property
    def item_bias(self):
        return self._array("items/bias")

    @property
    def global_mean(self):
        return float(self.attrs.get("global_mean", 0))

    @functools.cached_property
    def seen(self):
        """The ratings of the training, scipy.sparse.csr_matrix; None after --no-seen."""
        return self._csr("seen") if "seen" in self.file else None

    @functools.cached_property
    def history(self):
        """{"objective": [...], ...}: a value a sweep."""
        return {name: column[()] for name, column in self.file["history"].items()}

    def scores(self, user_row):
        """Scores of all items for a user, or [users, items] for several: what gridmf-query computes, up to rounding."""
        if self.item_factors is None:
            raise ValueError("the model has no factors; gridmf-query scores it")
        scores = self.user_factors[user_row] @ self.item_factors.T + self.global_mean
        if self.item_bias is not None:
            scores = scores + self.item_bias
        if self.user_bias is not None:
            scores = scores + np.asarray(self.user_bias[user_row])[..., None]
        return scores


class Recommendations(File):
    @functools.cached_property
    def items(self):
        """[users, N] rows of item_ids, best first; -1 behind the last."""
        return self._array("top/item")

    @functools.cached_property
    def scores(self):
        """[users, N]; NaN behind the last."""
        return self._array("top/score")

    @functools.cached_property
    def counts(self):
        return self._array("top/count")

    def of(self, user):
        """[(item id, score), ...] of a user's id."""
        row = self.user_row(user)
        n = self.counts[row]
        return list(zip(self.item_ids[self.items[row, :n]].tolist(), self.scores[row, :n].tolist()))


KINDS = {"gridmf-dataset": Dataset, "gridmf-model": Model, "gridmf-recommendations": Recommendations}
