"""The commands; heavy things are imported only where a command needs them."""

import argparse
import contextlib
import os
import socket
import sqlite3
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from crnn_bench import collector, terminal
from crnn_bench.errors import BenchError

if TYPE_CHECKING:
    from crnn_bench.cells import Experiment

MODEL_HELP = "a results folder (its best on validation songs), a file of its models/, a run id, or models:/NAME/VERSION"
SET_HELP = "override the YAML, e.g. trainer.max_epochs=2 or grid.seed=[0]; may be repeated"


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns 0, 1 for leaks in an audit, 2 for a mistake or fault that one line names, 130: Ctrl-C."""
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as fast alone, and three times as fast beside another job
    collector.spare_the_end()
    options = _parser().parse_args(arguments)
    sys.path.insert(0, os.getcwd())  # a class path of the user's own is found where they stand
    try:
        return int(options.command(options) or 0)
    except BenchError as error:
        print(f"crnn-bench: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"crnn-bench: {error.filename2 or error.filename or 'the disk'}: {error.strerror or error}", file=sys.stderr
        )
        return 2
    except KeyboardInterrupt:
        print("crnn-bench: stopped; the same command goes on with what is not finished", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crnn-bench",
        description="Honest benchmarks of music artist classification, from whole songs to a table of F1.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=function)
        return added

    demo = command("demo", _demo, "run the main job on music that the package composes itself")
    _add_run_options(demo)
    prepare = command("prepare", _prepare, "extract an experiment's features only")
    _add_engine_options(prepare)
    run = command("run", _run, "run what is not finished of an experiment, and print its table")
    _add_run_options(run)
    split = command("split", _split, "write a split of an experiment's dataset to a CSV file")
    split.add_argument(
        "--strategy", required=True, metavar="NAME", help="SongSplit, AlbumSplit, SongKFold, a class path …"
    )
    split.add_argument("--seed", type=int, default=0, help="of the split (default 0)")
    split.add_argument("--csv", type=Path, required=True, help="where to write it, e.g. splits/NAME.csv")
    audit = command("audit", _audit, "look for leaks between parts, copies and faults of songs; exit code 1 for leaks")
    audit.add_argument("--out", type=Path, metavar="DIR", help="folder of audit.csv and .json (default: runs/NAME)")
    for parser_of_yaml in (prepare, run, split, audit):
        parser_of_yaml.add_argument("experiment", type=Path, metavar="EXPERIMENT.yaml")
    for settable in (demo, prepare, run, split, audit):
        settable.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help=SET_HELP
        )
    report = command("report", _report, "rebuild tables and figures from what a run has stored")
    report.add_argument("folder", type=Path, metavar="DIR")
    report.add_argument("--no-audio", action="store_true", help="leave clips of the hardest songs out of the page")
    report.add_argument(
        "--reach", type=float, metavar="ACCURACY", help="tell how many epochs networks take to this validation accuracy"
    )
    explore = command("explore", _explore, "PCA, t-SNE and k-means of songs, by features or networks")
    explore.add_argument(
        "source",
        type=Path,
        metavar="EXPERIMENT.yaml|DIR",
        help="its features; or the networks' bottlenecks of a results folder",
    )
    explore.add_argument("--out", type=Path, metavar="DIR", help="folder of the figures (default: runs/NAME, or DIR)")
    explore.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help=SET_HELP)
    predict = command("predict", _predict, "say whose songs some audio files are, however long, by a trained model")
    predict.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    predict.add_argument("files", type=Path, nargs="+", metavar="FILE")
    predict.add_argument("--top", type=int, default=3, metavar="K", help="labels told of each file (default 3)")
    predict.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document a line and file")
    predict.add_argument("--timeline", type=Path, metavar="PATH", help="write each slice's answer to a .csv or .png")
    serve = command("serve", _serve, "open a web page and an HTTP API on an experiment's models")
    serve.add_argument("model", metavar="DIR|URI", help=MODEL_HELP)
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default 127.0.0.1: this machine alone)"
    )
    serve.add_argument("--port", type=int, default=7860)
    serve.add_argument(
        "--library", type=Path, metavar="FOLDER", help="music of which playlists are made (default: its)"
    )
    playlist = command("playlist", _playlist, "choose songs of a music library by seeds or by what was played")
    playlist.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    playlist.add_argument("--library", type=Path, required=True, metavar="FOLDER", help="music to choose among")
    taste = playlist.add_mutually_exclusive_group(required=True)
    taste.add_argument("--seeds", type=Path, nargs="+", metavar="FILE", help="songs that it should go with")
    taste.add_argument("--history", type=Path, metavar="PLAYS.csv", help="columns path and, if you like, plays")
    taste.add_argument(
        "--evaluate", action="store_true", help="how well it foretells listeners made up from the labels"
    )
    playlist.add_argument("--length", type=int, default=20, metavar="N", help="songs (default 20)")
    playlist.add_argument(
        "--variety",
        type=float,
        default=0.3,
        metavar="0..1",
        help="0: the closest, within limits of artists and albums (default 0.3)",
    )
    playlist.add_argument("--out", type=Path, metavar="LIST", help="write it to a .m3u8 or .json")
    for hearing in (predict, serve, playlist):
        hearing.add_argument(
            "--tracking-uri", metavar="URI", help="MLflow store of a run or model (default: MLFLOW_TRACKING_URI)"
        )
    ui = command("ui", _ui, "open the MLflow dashboard on a run's store")
    ui.add_argument(
        "folder", type=Path, nargs="?", metavar="DIR", help="a results folder (default: the newest in runs/)"
    )
    ui.add_argument("--port", type=int, default=5000)
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="DIR", help="results folder (default: runs/NAME)")
    parser.add_argument(
        "--tracking-uri", metavar="URI", help="MLflow store (default: MLFLOW_TRACKING_URI, or SQLite in DIR)"
    )
    parser.add_argument("--rerun", action="store_true", help="run finished cells, too")
    dry_run = "list the cells, and foretell disk, memory and time, without running any"
    parser.add_argument("--dry-run", action="store_true", help=dry_run)
    _add_engine_options(parser)


def _add_engine_options(parser: argparse.ArgumentParser) -> None:
    where = "local: one cell at a time (default); processes: several at once; ray, or ray://HOST:PORT: on a cluster"
    parser.add_argument("--engine", default="local", metavar="NAME", help=where)
    parser.add_argument("--workers", type=int, metavar="N", help="processes or tasks at once (local: of extraction)")
    share = "processors of each (default of processes: an equal share, of ray: 1)"
    parser.add_argument("--cpus-per-cell", type=int, metavar="N", dest="cpus", help=share)


def _demo(options: argparse.Namespace) -> None:
    with resources.as_file(resources.files("crnn_bench").joinpath("demo.yaml")) as path:
        _run(argparse.Namespace(**{**vars(options), "experiment": path}))


def _load(options: argparse.Namespace, *more: str) -> "Experiment":
    from crnn_bench import config

    sys.path.append(str(options.experiment.resolve().parent))  # … or beside the YAML; last, lest it hide a library
    with collector.paused():
        return config.load(options.experiment, [*options.overrides, *more])


def _run(options: argparse.Namespace) -> None:
    work = _load(options)
    terminal.be_quiet()
    from crnn_bench import ended, engines

    out = options.out or Path("runs") / work.name
    engine = engines.of(options.engine, options.workers, options.cpus)
    if not (options.rerun or options.dry_run) and ended.tell(work, out, options.tracking_uri):
        return
    with collector.paused():
        from crnn_bench import runner  # and with it all that trains and tracks

    if options.dry_run:
        runner.foresee(work, out, options.tracking_uri, engine)
        return
    with engine:
        runner.run(work, out, options.tracking_uri, options.rerun, engine)


def _prepare(options: argparse.Namespace) -> None:
    work = _load(options)
    from crnn_bench import engines, plans, preparing

    with engines.of(options.engine, options.workers, options.cpus) as engine, preparing.crew(engine) as crew:
        prepared = preparing.prepare(work, preparing.listings(work), crew)
        if any(cell.robustness for cell in work.cells):  # of test songs alone, which only a plan tells
            preparing.deform(plans.plan(work, prepared), prepared, crew)


def _audit(options: argparse.Namespace) -> int:
    work = _load(options)
    terminal.be_quiet()
    from crnn_bench import auditing

    return auditing.command(work, options.out or Path("runs") / work.name)


def _split(options: argparse.Namespace) -> None:
    work = _load(options, f"grid.split=[{options.strategy}]", f"grid.split_seed=[{options.seed}]")
    from crnn_bench import plans
    from crnn_bench.engines.processes import Processes

    with Processes() as processes:
        plans.write_splits(work, options.csv, processes)


def _report(options: argparse.Namespace) -> None:
    from crnn_bench import console, learning, report
    from crnn_bench.terminal import say, show

    if options.reach is not None:
        learning.refuse_unless_accuracy(options.reach)
    for path in report.rebuild(options.folder, not options.no_audio):
        print(path)
    by_rule = console.aggregations(options.folder)
    if by_rule:
        say("Weighted F1 on test songs by the rule that compiles their slices, mean [95% interval] over seeds:")
        show(by_rule[0])
        say(by_rule[1])
    if options.reach is not None:
        table, shared, path = console.reach(options.folder, options.reach)
        say(f"Epochs to a validation accuracy of {options.reach:g}, and weighted F1 on test songs:")
        show(table)
        say(shared)
        print(path)


def _explore(options: argparse.Namespace) -> None:
    if options.source.is_dir():
        from crnn_bench import exploring

        if options.overrides:
            raise BenchError(f"--set changes a YAML, but {options.source} is a results folder")
        exploring.networks(options.source, options.out or options.source)
        return
    work = _load(argparse.Namespace(**{**vars(options), "experiment": options.source}))
    from crnn_bench import exploring

    exploring.features(work, options.out or Path("runs") / work.name)


def _predict(options: argparse.Namespace) -> None:
    terminal.be_quiet()
    from crnn_bench import predicting

    predicting.answer(
        options.model, options.files, options.top, options.timeline, options.as_json, options.tracking_uri
    )


def _serve(options: argparse.Namespace) -> None:
    terminal.be_quiet()
    from crnn_bench.app import server

    server.serve(options.model, options.host, options.port, options.library, options.tracking_uri)


def _playlist(options: argparse.Namespace) -> None:
    terminal.be_quiet()
    from crnn_bench.app import playlist

    if options.evaluate and options.out:
        raise BenchError("--out writes a list, and --evaluate makes none; leave one out")
    if options.evaluate:
        playlist.evaluate(options.model, options.library, options.length, options.variety, options.tracking_uri)
    else:
        given = playlist.Given(seeds=options.seeds, history=options.history)
        playlist.make(
            options.model, options.library, given, options.length, options.variety, options.out, options.tracking_uri
        )


def _ui(options: argparse.Namespace) -> None:
    folder = options.folder or max(Path("runs").glob("*/"), key=lambda path: path.stat().st_mtime, default=Path("runs"))
    database = folder / "mlflow.db"
    if not database.is_file():
        raise BenchError(f"no MLflow store {database}; `crnn-bench run` makes one")
    with socket.socket() as trial:
        try:
            trial.bind(("127.0.0.1", options.port))
        except OSError:
            raise BenchError(f"port {options.port} is taken; give another one with --port") from None
    print(f"dashboard: http://127.0.0.1:{options.port}{_landing(database)} (Ctrl-C stops it)", flush=True)
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # four processes, for what is not ours
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", f"sqlite:///{database.resolve()}"]
    os.execv(sys.executable, [*command, "--workers", "1", "--port", str(options.port)])


def _landing(database: Path) -> str:
    """Where the dashboard lists the cells of a store's newest experiment; empty where none has such a view."""
    query = "select max(experiment_id) from experiment_tags where key = 'mlflow.sharedViewState.cells'"
    with contextlib.closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as store:
        try:
            ((number,),) = store.execute(query)
        except sqlite3.DatabaseError:  # MLflow will say what is wrong with it
            return ""
    view = "workflowType=machine_learning&viewStateShareKey=cells"
    return f"/#/experiments/{number}/runs?{view}" if number else ""
