"""A GPU that was asked for and is not there is an error, not a slower search."""

import faiss
import pytest

from index import GalleryUnavailable
from tests.index.conftest import Opener


@pytest.mark.skipif(hasattr(faiss, "StandardGpuResources"), reason="this FAISS has GPU support")
def test_faiss_without_gpu_support(open_it: Opener) -> None:
    with pytest.raises(GalleryUnavailable, match="install faiss-gpu"):
        open_it(16, search="gpu")


def test_no_gpu_to_be_seen(open_it: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0, raising=False)
    with pytest.raises(GalleryUnavailable, match="finds none"):
        open_it(16, search="gpu")
    assert open_it(16).count().images == 0  # the refusal left nothing open
