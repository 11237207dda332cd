"""PCA, t-SNE and k-means of songs, and the agreement of clusters with labels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from crnn_bench import unsupervised
from crnn_bench.cli import main
from crnn_bench.errors import BenchError


def blobs(distance: float, n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    centres = distance * np.eye(3, 8)
    return (centres[labels] + rng.standard_normal((n, 8))).astype(np.float32), labels


def test_clusters_that_are_the_labels_agree_wholly() -> None:
    seen = unsupervised.view(*blobs(30))
    assert seen.scores["ari"] == seen.scores["nmi"] == 1
    assert seen.scores["silhouette_labels"] == pytest.approx(seen.scores["silhouette_clusters"])
    assert seen.scores["silhouette_labels"] > 0.2
    assert seen.pca.shape == seen.tsne.shape == (60, 2)
    assert np.array_equal(seen.clusters, seen.labels), "a cluster bears the number of the label it fits"


def test_noise_agrees_with_nothing() -> None:
    seen = unsupervised.view(*blobs(0, n=300))
    assert abs(seen.scores["ari"]) < 0.1
    assert seen.scores["silhouette_labels"] < 0.05


def test_the_projection_is_that_of_scaled_columns() -> None:
    """A column in thousands does not outweigh the others."""
    vectors, labels = blobs(6)
    seen, louder = unsupervised.view(vectors, labels), unsupervised.view(vectors * [1000] + [1, *range(7)], labels)
    assert np.abs(np.abs(seen.pca) - np.abs(louder.pca)).max() < 1e-3
    scaled = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    assert seen.explained == pytest.approx(PCA(2).fit(scaled).explained_variance_ratio_.sum(), abs=1e-6)


def test_it_is_deterministic_and_a_constant_column_is_no_fault() -> None:
    vectors, labels = blobs(6)
    vectors[:, 2] = 5
    first, again = (unsupervised.view(vectors, labels, seed=3) for _ in range(2))
    assert np.array_equal(first.tsne, again.tsne)
    assert np.array_equal(first.clusters, again.clusters)
    assert first.scores == again.scores


def test_too_few_songs_are_refused() -> None:
    with pytest.raises(BenchError, match="3 songs are too few to look for 3 clusters"):
        unsupervised.view(*blobs(1, n=3))


def test_the_command_shows_every_feature_of_an_experiment(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    yaml = tmp_path / "see.yaml"
    yaml.write_text(
        f"name: see\ndataset: {{class_path: Folder, init_args: {{root: {music}}}}}\n"
        "grid:\n  model: [KNN]\n  features: [Mfcc, LogMel]\n"
    )
    assert main(["explore", str(yaml), "--out", str(tmp_path / "out")]) == 0
    table = pd.read_csv(tmp_path / "out" / "unsupervised.csv")
    assert [name.split()[-1] for name in table["vectors"]] == ["Mfcc", "LogMel"]
    assert (table["songs"] == 36).all()
    assert (table["labels"] == 4).all()
    assert table["ari"].between(-1, 1).all()
    assert len(list((tmp_path / "out" / "figures").glob("unsupervised-*.png"))) == 2
    assert "silhouette" in capsys.readouterr().out


def test_a_folder_without_networks_says_what_to_give(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", str(tmp_path)]) == 2
    assert "no experiment was run" in capsys.readouterr().err


def test_two_datasets_of_one_name_and_of_other_arguments_are_told_apart(music: Path, tmp_path: Path) -> None:
    """A folder, and a list of the same name."""
    songs = [path.relative_to(music) for path in sorted(music.rglob("*.wav"))]
    listed = pd.DataFrame({"path": [str(song) for song in songs], "label": [song.parts[0] for song in songs]})
    listed.to_csv(tmp_path / f"{music.name}.csv", index=False)
    yaml = tmp_path / "two.yaml"
    manifest = f"{{class_path: Manifest, init_args: {{csv: {tmp_path}/{music.name}.csv, root: {music}}}}}"
    folder = f"{{class_path: Folder, init_args: {{root: {music}}}}}"
    yaml.write_text(f"name: two\nfeatures: Mfcc\nmodel: KNN\ngrid:\n  dataset:\n    - {folder}\n    - {manifest}\n")
    assert main(["explore", str(yaml), "--out", str(tmp_path / "out")]) == 0
    assert pd.read_csv(tmp_path / "out" / "unsupervised.csv")["vectors"].nunique() == 2
