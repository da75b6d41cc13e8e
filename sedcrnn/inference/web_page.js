// A clip goes to the network and into the player; its timeline is drawn here, and a cursor follows the player.
"use strict";

const $ = (selector) => document.querySelector(selector);
const main = $("main"), media = $("video"), dropped = $("#drop");
const LONGEST_WAVE = 100e6; // bytes of a file whose waveform is drawn: it is decoded whole, in memory
const LIKELIEST = 3;

let network = {}, clip = null, answer = null, asking = null;
let time = 0; // of the cursor in seconds: the player's, unless the browser cannot play the clip
let playable = false;

function make(tag, content = "", className = "") {
  const element = document.createElement(tag);
  element.append(...[content].flat());
  if (className) element.className = className;
  return element;
}

const share = (part) => `${100 * part}%`; // as a length
const percent = (probability) => `${(100 * probability).toFixed(0)} %`; // as text
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const order = (values) => values.map((_, index) => index).sort((one, other) => values[other] - values[one]);
// The scenes that a head answers, the likeliest first: one, or, of a multi-label network, all that reach their thresholds.
const found = (head, values) => order(values).filter((scene, place) => (head.thresholds ? values[scene] >= head.thresholds[scene] : !place));
const listed = (scenes, values) => scenes.map((scene) => `${answer.scenes[scene]} ${percent(values[scene])}`);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// ---- A clip: shown, sent, answered -----------------------------------------------------------------------------------

async function show(file, truth = "") {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  [clip, answer, time, playable] = [file, null, 0, false];
  main.hidden = $("#error").hidden = true;
  media.pause();
  try {
    if (file.size > network.max_upload_mb * 1e6) throw Error(`It has ${(file.size / 1e6).toFixed(0)} MB. ${limit()}`);
    const found = await ask(file, signal);
    if (signal.aborted) return;
    answer = found;
    showAnswer(file, truth);
  } catch (error) {
    if (!signal.aborted) fail(error.message);
  } finally {
    if (!signal.aborted) $("#progress").hidden = true;
  }
}

function fail(message) {
  main.hidden = true;
  $("#error p").textContent = message;
  $("#error").hidden = false;
}

function post(address, file, signal) {
  return fetch(`${address}?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file, signal }).catch((error) => {
    throw signal?.aborted ? error : Error("The program that serves this page does not answer. Start it again.");
  });
}

async function ask(file, signal) {
  progress("Sending …");
  const response = await post("predict", file, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = "", part = {}; !part.done; ) {
    part = await reader.read();
    const lines = (text + (part.value ?? "")).split("\n");
    text = lines.pop() + (part.done ? "\n" : "");
    for (const line of [...lines, part.done ? text : ""].filter((one) => one.trim()).map(JSON.parse)) {
      if (line.error) throw Error(line.error);
      if (line.answer) return line.answer;
      if (line.waiting) progress("Waiting: another clip is being looked at …");
      if (line.done) progress(`Looking and listening: ${clock(line.done)}${line.of ? ` of ${clock(line.of)}` : ""}`, line.done, line.of);
    }
  }
  throw Error("The network ended without an answer. The terminal in which this page was started says why.");
}

function progress(text, done, of) {
  const bar = $("#progress progress");
  $("#progress span").textContent = text;
  if (of) [bar.max, bar.value] = [of, done];
  else bar.removeAttribute("value");
  $("#progress").hidden = false;
}

function showAnswer(file, truth) {
  const [first, ...others] = answer.heads;
  $("#player figcaption").textContent = file.name;
  URL.revokeObjectURL(media.src);
  media.src = URL.createObjectURL(file);
  $("#answer h2").textContent = answer.headline;
  $("#certainty").textContent = answer.certainty;
  const answered = found(first, first.clip);
  $("#likeliest").replaceChildren(...order(first.clip).slice(0, Math.max(LIKELIEST, answered.length)).map((scene) => {
    const bar = make("i");
    bar.style.width = share(first.clip[scene]);
    const words = [make("span", answer.scenes[scene]), make("span", percent(first.clip[scene]))];
    return make("li", [bar, ...words], answered.includes(scene) ? "answered" : "");
  }));
  if (first.thresholds) $("#orange").textContent = "Orange: the scenes that reach their thresholds in a second.";
  $("#truth").textContent = `The data set says: ${truth}.`;
  $("#truth").hidden = !truth;
  $("#notes").replaceChildren(...answer.notes.map((note) => make("p", note)));
  document.querySelectorAll(".chart, .now, .head, #heads details").forEach((old) => old.remove());
  const timeline = chart(first);
  $("#timeline").append(make("p", "", "now"), timeline);
  $("#heads").append(...answer.heads.map(describe));
  $("#heads").hidden = !others.length;
  $("#inputs").open = false;
  $("#inputs").hidden = !network.has_inputs;
  main.hidden = false;
  move(0);
  wave(file, timeline);
}

// The answering head's timeline stands above; those of the others are folded.
function describe(head) {
  const words = make("span", [make("b", head.name), ` ${head.about}`]);
  const scenes = make("span", listed(found(head, head.clip), head.clip).join(" + ") || head.scene, "found");
  if (head !== answer.heads[0]) return make("details", [make("summary", [words, scenes]), chart(head)]);
  words.append(" Its answer is the network's.");
  return make("div", [words, scenes], "head");
}

// ---- The timeline ------------------------------------------------------------------------------------------------------

// Rows of all heads are in the order of the answer, so that they can be compared.
function chart(head) {
  const rows = order(answer.heads[0].clip), answered = found(head, head.clip);
  const list = (className, text) => make("ul", rows.map((row) => make("li", text(row), answered.includes(row) ? "best" : "")), className);
  const canvas = make("canvas");
  [canvas.width, canvas.height] = [answer.seconds, rows.length];
  const context = canvas.getContext("2d");
  head.probabilities.forEach((values, second) => {
    const likely = found(head, values);
    rows.forEach((scene, row) => {
      context.fillStyle = `rgb(${colour(likely.includes(scene) ? "--likely" : "--other")} / ${values[scene]})`;
      context.fillRect(second, row, 1, 1);
    });
  });
  const axis = make("div", ticks(answer.seconds).map((second) => {
    const label = make("span", clock(second));
    label.style.left = share(second / answer.seconds);
    return label;
  }), "axis");
  const names = list("names", (row) => answer.scenes[row]);
  const values = list("values", (row) => percent(head.clip[row]));
  const drawn = make("div", [names, track(canvas, `Scenes over time, ${head.name} head`), values, axis], "chart");
  drawn.dataset.head = head.name;
  return drawn;
}

function ticks(seconds) {
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find((one) => seconds / one <= 8) ?? 7200;
  return [...Array(Math.floor(seconds / step) + 1).keys()].map((number) => number * step).filter((second) => second < seconds);
}

function track(canvas, label) {
  const element = make("div", [canvas, make("div", "", "cursor")], "track");
  const about = { role: "slider", tabindex: 0, "aria-label": label, "aria-valuemin": 0, "aria-valuemax": answer.seconds };
  for (const [name, value] of Object.entries(about)) element.setAttribute(name, value);
  const jump = (event) => {
    const { left, width } = element.getBoundingClientRect();
    seek(((event.clientX - left) / width) * answer.seconds);
  };
  element.addEventListener("pointerdown", (event) => { element.setPointerCapture(event.pointerId); jump(event); });
  element.addEventListener("pointermove", (event) => { if (element.hasPointerCapture(event.pointerId)) jump(event); });
  element.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (by) { event.preventDefault(); seek(time + by); }
    if (event.key === " ") { event.preventDefault(); media.paused ? media.play() : media.pause(); }
  });
  return element;
}

async function wave(file, timeline) {
  if (file.size > LONGEST_WAVE) return;
  const shown = answer;
  const sound = await file.arrayBuffer().then((bytes) => new OfflineAudioContext(1, 1, 8000).decodeAudioData(bytes)).catch(() => null);
  if (!sound || answer !== shown) return; // no audio, or none that the browser can decode
  const canvas = make("canvas"), samples = sound.getChannelData(0), width = 1000;
  [canvas.width, canvas.height] = [width, 100];
  const context = canvas.getContext("2d"), size = (answer.seconds * sound.sampleRate) / width;
  const peaks = [...Array(width).keys()].map((column) => samples.subarray(column * size, (column + 1) * size).reduce((most, one) => Math.max(most, Math.abs(one)), 0));
  const loudest = Math.max(...peaks) || 1;
  context.fillStyle = `rgb(${colour("--other")})`;
  peaks.map((peak) => (100 * peak) / loudest).forEach((height, column) => context.fillRect(column, 50 - height / 2, 1, Math.max(1, height)));
  const name = make("div", "audio", "names wave"), heard = track(canvas, "Waveform");
  heard.classList.add("wave");
  timeline.prepend(name, heard, make("div"));
  move(time);
}

// ---- The cursor --------------------------------------------------------------------------------------------------------

function seek(second) {
  const to = Math.min(Math.max(second, 0), answer.seconds);
  if (playable) media.currentTime = Math.min(to, media.duration || to);
  move(to);
}

function move(to) {
  time = to;
  const second = Math.min(Math.floor(time), answer.seconds - 1), head = answer.heads[0], values = head.probabilities[second];
  const scenes = head.thresholds ? listed(found(head, values), values).join(", ") : listed(order(values).slice(0, 2), values).join(", then ");
  const now = `${clock(second)}: ${scenes || "no scene reaches its threshold"}`;
  $(".now").textContent = now;
  document.querySelectorAll(".track").forEach((element) => {
    element.lastChild.style.left = share(Math.min(time / answer.seconds, 1));
    element.setAttribute("aria-valuenow", time.toFixed(1));
    element.setAttribute("aria-valuetext", now);
  });
}

function follow() {
  if (answer && playable) move(media.currentTime);
  if (!media.paused && !media.ended) requestAnimationFrame(follow); // timeupdate alone comes four times a second
}

for (const event of ["timeupdate", "seeking", "play"]) media.addEventListener(event, follow);
media.addEventListener("loadedmetadata", () => {
  playable = true;
  $("#player").classList.toggle("sound", media.videoWidth === 0);
});
media.addEventListener("error", () => {
  playable = false;
  if (answer) $("#player figcaption").textContent = `${clip.name}. This browser cannot play it; the answer holds all the same.`;
});

// ---- What the network gets, only for those who ask -----------------------------------------------------------------

$("#inputs").addEventListener("toggle", async () => {
  const [status, link] = [$("#inputs p"), $("#inputs a")], of = clip;
  [status.hidden, status.textContent, link.hidden] = [false, "Drawing …", true];
  if (!$("#inputs").open) return;
  try {
    const response = await post("inputs", of);
    if (!response.ok) throw Error((await response.json()).error);
    const picture = URL.createObjectURL(await response.blob());
    if (of !== clip) return;
    URL.revokeObjectURL(link.href);
    link.href = $("#inputs img").src = picture;
    [status.hidden, link.hidden] = [true, false];
  } catch (error) {
    status.textContent = error.message;
  }
});

// ---- Choosing a clip -----------------------------------------------------------------------------------------------

const limit = () => `${network.max_upload_mb.toLocaleString("en")} MB are the most.`;

function choose(file, truth, button) {
  document.querySelectorAll("#examples button").forEach((one) => one.setAttribute("aria-pressed", one === button));
  if (file) show(file, truth);
}

$("#clip").addEventListener("change", (event) => choose(event.target.files[0]));
document.addEventListener("dragover", (event) => { event.preventDefault(); dropped.classList.add("over"); });
document.addEventListener("dragleave", () => dropped.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  dropped.classList.remove("over");
  choose(event.dataTransfer.files[0]);
});

function example({ name, scene }, number) {
  const picture = make("img"), button = make("button", [picture, make("span", scene)]);
  [button.type, picture.alt, picture.src] = ["button", "", `examples/${number}.jpg`];
  picture.addEventListener("error", () => picture.remove());
  button.addEventListener("click", async () => {
    const response = await fetch(`examples/${number}`);
    if (response.ok) choose(new File([await response.blob()], name), scene, button);
    else fail((await response.json()).error);
  });
  return button;
}

fetch("network.json").then((response) => response.json()).then((about) => {
  network = about;
  $("#limit").textContent = `Up to ${limit()}`.replace(" are the most", "");
  $("#examples div").append(...network.examples.map(example));
  $("#examples").hidden = !network.examples.length;
  $("footer").textContent = `Network: ${network.path}. It knows the scenes ${network.scenes.join(", ")}.`;
});
