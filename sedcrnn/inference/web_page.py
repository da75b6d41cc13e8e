"""Clip dropped on a local page -> predictor -> likeliest scenes, timeline of every head, what the network gets.

The page is served to this computer alone and asks nothing of any other.
"""

import html
import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import sedcrnn
from sedcrnn.errors import ConfigError, SedcrnnError, import_extra
from sedcrnn.inference.file_prediction import Prediction, notes
from sedcrnn.inference.predictor import Predictor
from sedcrnn.plotting.answer_figures import write_timeline
from sedcrnn.plotting.network_inputs import draw_file, drawable

HOST = "127.0.0.1"

RANKS = ("1st", "2nd", "3rd")
"""Scenes per head in the table."""

SECONDS_DRAWN = 30
"""The most of a clip of which spectrogram and frames are drawn."""

# A figure that is wider than a telephone is moved sideways there, and stays legible.
STYLE = """
footer { display: none !important; }
.gradio-container main { max-width: 1000px; width: 100%; margin: 0 auto !important; }
#answer, #answer > * { padding: 0 !important; }
[role=alert] { border-left: 4px solid #b91c1c; padding-left: 12px; }
.figure .image-frame { overflow-x: auto; justify-content: safe center; }
.figure img { min-width: 720px; }
#table * { font-family: sans-serif; }
"""


def serve(run: str, port: int, calibrated: bool, device: str) -> None:
    """Serve the page until the process is interrupted. What was dropped on it is removed then.

    Raises:
        CheckpointError: no run, checkpoint or ONNX file.
        ConfigError: the port is in use, or needs more rights.
        MissingExtraError: Gradio is not installed.
    """
    try:
        socket.create_server((HOST, port)).close()  # before anything takes long
    except OSError as error:
        raise ConfigError(
            f"port={port} of {HOST} cannot be used: {error}",
            "A port that no other program uses can; those below 1024 are the system's",
            f"Stop what uses it, or set another: port={7861 if port == 7860 else 7860}",
        ) from error
    with TemporaryDirectory(prefix="sedcrnn-web-") as folder:
        gradio = import_gradio(Path(folder))
        page = build_page(gradio, sedcrnn.load(run, device, calibrated=calibrated), Path(folder))
        _, address, _ = page.launch(
            server_name=HOST,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            ssr_mode=False,
            theme=gradio.themes.Default(font="sans-serif", font_mono="monospace"),
            css=STYLE,
        )
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        page.block_thread()


def import_gradio(folder: Path) -> Any:
    """Gradio without its reports to its makers, and with a folder for what is dropped on the page.

    Raises:
        MissingExtraError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    # Gradio asks its own server whether it is up, and would do so by way of a proxy.
    os.environ["no_proxy"] = ",".join(filter(None, (HOST, os.environ.get("no_proxy", os.environ.get("NO_PROXY")))))
    return import_extra("gradio", "web", "The page needs")


def build_page(gradio: Any, predictor: Predictor, folder: Path) -> Any:
    """The page for one network, a `gradio.Blocks`; its figures are written to a folder."""
    progress = gradio.Progress(track_tqdm=True)

    def show(path: str, progress: Any = progress) -> tuple[Any, ...]:
        progress(0, desc="Reading")
        try:
            answer, *results = look_at(predictor, Path(path), folder)
        except SedcrnnError as error:
            # The clip's own name, in place of where the page keeps it.
            text = html.escape(str(error).replace(path, Path(path).name))
            alert = f'<div role="alert"><h2>This clip cannot be shown</h2><p>{text}</p></div>'
            return alert, gradio.Column(visible=False), None, None, None
        return answer, gradio.Column(visible=True), *results

    with gradio.Blocks(title="sedcrnn", analytics_enabled=False) as page:
        gradio.Markdown(
            "# Scenes of a clip\n"
            "Drop a video, with or without audio, or an audio file, and see which scene the network finds in every "
            "second of it. Nothing leaves this computer."
        )
        clip = gradio.File(label="Clip", elem_id="clip", height=140)
        answer = gradio.HTML(elem_id="answer", padding=False)
        with gradio.Column(visible=False) as results:
            table = gradio.Dataframe(
                headers=["head", *RANKS],
                label="Likeliest scenes of the whole clip, with their mean probability over its seconds (0 to 1)",
                elem_id="table",
                interactive=False,
            )
            figure = {"show_label": False, "buttons": ["download", "fullscreen"], "elem_classes": "figure"}
            gradio.Markdown("## Scenes over time")
            timeline = gradio.Image(**figure, elem_id="timeline")
            gradio.Markdown(f"## What the network gets\nThe first {SECONDS_DRAWN} seconds, if there are more.")
            inputs = gradio.Image(**figure, elem_id="inputs")
        gradio.Markdown(
            f"Network: `{predictor.model.path}`. Heads: {', '.join(predictor.heads)}; the last is its answer. "
            f"Scenes, in label order: {', '.join(predictor.scenes)}."
        )
        shown = [answer, results, table, timeline, inputs]
        showing = clip.upload(show, clip, shown, show_progress_on=clip, api_visibility="private")
        hide = (lambda: ("", gradio.Column(visible=False)), None, [answer, results])
        clip.clear(*hide, cancels=showing, api_visibility="private")
    return page


def look_at(predictor: Predictor, clip: Path, folder: Path) -> tuple[str, list[list[str]], str, str | None]:
    """What the page shows of a clip: the answer as HTML, a row for every head with its likeliest scenes, and the files
    of both figures; no second one where the network takes neither spectrogram nor frames.

    Raises:
        ClipError: it cannot be read, lasts less than a second, or lacks what the network takes.
    """
    prediction = predictor.predict(clip, progress=True)
    figures = Path(mkdtemp(dir=folder))
    timeline, inputs = figures / f"{clip.stem}-scenes.png", figures / f"{clip.stem}-inputs.png"
    write_timeline(timeline, prediction, clip.name, list(prediction.probabilities))
    features = drawable(predictor.features)
    if features:
        draw_file(clip, None, inputs, 0, SECONDS_DRAWN, features)
    return _answer(prediction), likeliest_scenes(prediction), str(timeline), str(inputs) if features else None


def _answer(prediction: Prediction) -> str:
    [(scene, probability)] = prediction.top(1)
    seconds = len(prediction.seconds)
    answer = f"The {prediction.head} head's answer, with a probability of {probability:.2f} (mean over {seconds} s)."
    return f"<h2>{html.escape(scene)}</h2><p>{' '.join([answer, *notes(prediction)])}</p>"


def likeliest_scenes(prediction: Prediction) -> list[list[str]]:
    """A row per head that answers: its name, and its likeliest scenes in the whole clip with their probabilities."""
    return [
        [head, *(f"{scene} {probability:.2f}" for scene, probability in prediction.top(len(RANKS), head=head))]
        for head in prediction.probabilities
    ]
