// What the models say, as words and bars.

const UNSURE = "the model is unsure";
const MOST_NAMED = 3; // models; of more is said how many they are

// Return what to say of the predictions together: { digit, doubtful, sentence }, where digit is
// "?" instead of an answer that cannot be trusted.
export function verdict(predictions) {
  const [first] = predictions;
  const who = named(predictions, predictions.length);
  const one = predictions.length === 1;
  if (predictions.some(({ text }) => text !== first.text)) return doubtful(difference(predictions));
  if (first.doubts.length > 1) {
    const count = first.doubts.length;
    const sentence = `${count} digits, read left to right by ${who} as ${first.text}`;
    for (const { model, doubts } of predictions) {
      const why = doubts.find(Boolean);
      if (why === UNSURE) return doubtful(`${sentence}, but ${model} is unsure.`);
      if (why) return doubtful(`${sentence}, but in doubt: ${why}.`);
    }
    return { digit: first.text, doubtful: false, sentence: `${sentence}.` };
  }
  const unlike = predictions.find(({ doubt }) => doubt && doubt !== UNSURE);
  if (unlike) {
    return doubtful(
      `This looks like no digit, because ${unlike.doubt}. If it is one: ${first.digit}.`,
    );
  }
  const unsure = predictions.filter(({ doubt }) => doubt);
  if (unsure.length) {
    const [{ digit, runner_up: other }] = unsure;
    const verb = unsure.length === 1 ? "is" : "are";
    return doubtful(
      `${named(unsure, predictions.length)} ${verb} unsure: perhaps ${digit}, or ${other}.`,
    );
  }
  const least = Math.min(...predictions.map(({ confidence }) => confidence));
  const how = one ? `${percent(least)} sure` : `each at least ${percent(least)} sure`;
  const sentence = `${who} ${say(predictions)} ${first.digit}, ${how}.`;
  return { digit: String(first.digit), doubtful: false, sentence };
}

// Return how models disagree, what most of them say first.
function difference(predictions) {
  if (predictions.length <= MOST_NAMED) {
    const says = predictions.map(({ model, text }) => `${model} says ${text}`);
    return `The models disagree: ${says.join(", ")}.`;
  }
  const texts = [...new Set(predictions.map(({ text }) => text))];
  const [most, ...others] = texts
    .map((text) => predictions.filter((each) => each.text === text))
    .sort((a, b) => b.length - a.length);
  const few = predictions.length - most.length <= MOST_NAMED;
  const says = others.map(
    (some) => `${few ? named(some, some.length) : counted(some)} ${say(some)} ${some[0].text}`,
  );
  const majority = `${most.length} of ${predictions.length} models ${say(most)} ${most[0].text}`;
  return `${[majority, ...says].join("; ")}.`;
}

function say(predictions) {
  return predictions.length === 1 ? "says" : "say";
}

function counted(predictions) {
  return predictions.length === 1 ? "1 model" : `${predictions.length} models`;
}

// Return who said some of so many predictions.
function named(some, all) {
  if (some.length <= MOST_NAMED) return listed(some.map(({ model }) => model));
  return some.length === all ? `${all} models` : `${some.length} of ${all} models`;
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
  const step = microseconds < 1000 ? 0 : microseconds < 999_500 ? 1 : 2;
  const value = microseconds / 1000 ** step;
  return `${value >= 9.95 ? value.toFixed(0) : value.toFixed(1)}\u00a0${["µs", "ms", "s"][step]}`;
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
    item.classList.toggle("doubtful", Boolean(card.prediction?.doubts.some(Boolean)));
    const shares = card.prediction?.probabilities ?? Array(10).fill(0);
    item.querySelectorAll(".bar").forEach((bar, digit) => {
      bar.classList.toggle("top", digit === card.prediction?.digit);
      bar.title = `${digit}: ${(100 * shares[digit]).toFixed(2)} %`;
      bar.querySelector(".bar-fill").style.height = `${100 * shares[digit]}%`;
    });
  });
}

function says({ digit, confidence, doubt, doubts, runner_up: other, text }) {
  if (doubts.length > 1) {
    const why = doubts.find(Boolean);
    return why ? `${text}? ${why}` : text;
  }
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
