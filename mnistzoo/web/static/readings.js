// What the models say, as words and bars.

const UNSURE = "the model is unsure";

// Return what to say of the predictions together: { digit, doubtful, sentence }, where digit is
// "?" instead of an answer that cannot be trusted.
export function verdict({ digits, predictions }) {
  const [first] = predictions;
  const names = listed(predictions.map(({ model }) => model));
  const one = predictions.length === 1;
  const unlike = predictions.find(({ doubt }) => doubt && doubt !== UNSURE);
  if (new Set(predictions.map(({ text }) => text)).size > 1) {
    const says = predictions.map(({ model, text }) => `${model} says ${text}`);
    return doubtful(`The models disagree: ${says.join(", ")}.`);
  }
  if (digits > 1) {
    const sentence = `${digits} digits, read left to right by ${names}.`;
    return { digit: first.text, doubtful: false, sentence };
  }
  if (unlike) {
    return doubtful(`This looks like no digit, because ${unlike.doubt}. If it is one: ${first.digit}.`);
  }
  if (predictions.some(({ doubt }) => doubt)) {
    const unsure = predictions.filter(({ doubt }) => doubt);
    const verb = unsure.length === 1 ? "is" : "are";
    const [{ digit, runner_up: other }] = unsure;
    return doubtful(
      `${listed(unsure.map(({ model }) => model))} ${verb} unsure: perhaps ${digit}, or ${other}.`,
    );
  }
  const least = Math.min(...predictions.map(({ confidence }) => confidence));
  const how = one ? `${percent(least)} sure` : `each at least ${percent(least)} sure`;
  const sentence = `${names} ${one ? "says" : "say"} ${first.digit}, ${how}.`;
  return { digit: String(first.digit), doubtful: false, sentence };
}

function doubtful(sentence) {
  return { digit: "?", doubtful: true, sentence };
}

function listed(names) {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

// Never 100 %, which no model may claim.
function percent(share) {
  return `${(Math.floor(1000 * Math.min(share, 0.9999)) / 10).toFixed(1)}\u00a0%`;
}

export function duration(microseconds) {
  const [value, unit] = microseconds < 1000 ? [microseconds, "µs"] : [microseconds / 1000, "ms"];
  return `${value >= 9.95 ? value.toFixed(0) : value.toFixed(1)}\u00a0${unit}`;
}

// Show one card for each chosen model: a prediction, or a word on why there is none yet.
export function showReadings(list, cards) {
  while (list.children.length > cards.length) list.lastChild.remove();
  cards.forEach((card, i) => {
    const item = list.children[i] ?? list.appendChild(newCard());
    const [name, said, time] = [".reading-name", ".reading-says", ".reading-time"].map((part) =>
      item.querySelector(part),
    );
    name.textContent = name.title = card.name;
    said.textContent = card.prediction ? says(card.prediction) : card.state;
    time.textContent = card.latency ? duration(card.latency) : "";
    item.classList.toggle("doubtful", Boolean(card.prediction?.doubt));
    const shares = card.prediction?.probabilities ?? Array(10).fill(0);
    item.querySelectorAll(".bar").forEach((bar, digit) => {
      bar.classList.toggle("top", digit === card.prediction?.digit);
      bar.title = `${digit}: ${(100 * shares[digit]).toFixed(2)} %`;
      bar.querySelector(".bar-fill").style.height = `${100 * shares[digit]}%`;
    });
  });
}

function says({ digit, confidence, doubt, runner_up: other }) {
  return doubt ? `${digit}? or ${other}: ${doubt}` : `${digit}, ${percent(confidence)}`;
}

function newCard() {
  const bars = Array.from({ length: 10 }, (_, digit) =>
    element("div", "bar", element("div", "bar-room", element("div", "bar-fill")), String(digit)),
  );
  const chart = element("div", "bars", ...bars);
  chart.setAttribute("aria-hidden", "true"); // the line above says what matters
  const said = element("span", "reading-says");
  const facts = element("div", "reading-facts", said, element("span", "reading-time"));
  return element("li", "", element("div", "reading-name"), facts, chart);
}

export function element(kind, className, ...children) {
  const made = document.createElement(kind);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

// Show 784 bytes, 255 ink, as the models see them; without any, black.
export function showSeen(canvas, image) {
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(28, 28);
  for (let i = 0; i < 784; i++) pixels.data.set([...Array(3).fill(image?.[i] ?? 0), 255], 4 * i);
  context.putImageData(pixels, 0, 0);
}
