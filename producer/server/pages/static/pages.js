// What pages do beyond plain HTML: parts that change fetch themselves again, filters act at once, commands can be copied.

const LOOK_MS = 2000;
const SLOWEST_LOOK_MS = 30000;
// With a stream that tells of news: the time between two looks at most and, for clocks and rates, at least.
const NEWS_MS = 1000;
const CALM_LOOK_MS = 10000;

// Whether somebody works in a part, or selects text in it: it is left alone until he is done.
function isBusy(part) {
  const selection = getSelection();
  return part.contains(document.activeElement) || !selection.isCollapsed && part.contains(selection.anchorNode);
}

// A part of a page asks for itself again: when the job's stream has news, and without a stream now and then.
function follow(part) {
  let [wait, shown, timer, looked] = [LOOK_MS, "", 0, Date.now()];
  let stream = null;
  const plan = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(look, ms);
  };
  const load = async () => {
    try {
      const answer = await fetch(part.dataset.live, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
      const text = await answer.text();
      if (text !== shown) part.innerHTML = shown = text;
      wait = LOOK_MS;
    } catch {
      wait = Math.min(wait * 2, SLOWEST_LOOK_MS);
    }
    tell(part.querySelector("[data-say]")?.dataset.say);
  };
  const look = async () => {
    looked = Date.now();
    const isLeft = document.hidden || isBusy(part);
    if (!isLeft) await load();
    if (part.querySelector("[data-over]")) location.reload();
    else if (!part.querySelector("[data-done]")) plan(!isLeft && stream?.readyState === EventSource.OPEN ? CALM_LOOK_MS : wait);
  };
  // A browser has few connections to one server: a page that nobody sees gives its own back.
  const listen = () => {
    stream?.close();
    if (document.hidden) return;
    stream = new EventSource(part.dataset.events);
    for (const kind of ["event", "progress", "end"]) {
      stream.addEventListener(kind, () => plan(Math.max(looked + NEWS_MS - Date.now(), 0)));
    }
    stream.addEventListener("end", () => stream.close());
    stream.addEventListener("error", () => stream.readyState === EventSource.CLOSED && plan(wait));
  };
  if (part.dataset.events) {
    listen();
    document.addEventListener("visibilitychange", listen);
  }
  if (!part.querySelector("[data-done]")) plan(wait);
}

// Screen readers hear of each tenth of the way and of each new state, not of every item.
const coarse = (words) => words.replace(/(\d)(?=\s?%)/, "0");
let told = coarse(document.querySelector("[data-say]")?.dataset.say ?? "");
function tell(words) {
  if (!words || coarse(words) === told) return;
  document.getElementById("say").textContent = words;
  told = coarse(words);
}

function filter(form) {
  const score = form.elements.namedItem("score");
  const only = form.elements.namedItem("only");
  const apply = () => {
    form.querySelector("output").textContent = Number(score.value).toFixed(2);
    for (const found of document.querySelectorAll(".found")) {
      const weak = Number(found.dataset.score) < Number(score.value);
      found.classList.toggle("off", weak || Boolean(only?.value) && found.dataset.class !== only.value);
    }
    for (const words of document.querySelectorAll("[data-told]")) recount(words);
  };
  score.addEventListener("input", apply);
  only?.addEventListener("change", () => (document.querySelector(".gallery") ? form.requestSubmit() : apply()));
}

function recount(words) {
  const over = words.closest("figure, section").querySelector(".over");
  if (!over) return;
  const counts = new Map();
  for (const found of over.querySelectorAll(".found:not(.off)")) {
    counts.set(found.dataset.class, (counts.get(found.dataset.class) ?? 0) + 1);
  }
  const listed = [...counts].sort(([one], [other]) => (one < other ? -1 : 1));
  words.textContent = listed.map(([name, count]) => `${count} × ${name}`).join(", ") || "nothing found";
}

function offerCopy(command) {
  if (!navigator.clipboard) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(command.textContent);
    button.textContent = "Copied";
  });
  command.after(button);
}

document.querySelectorAll("[data-live]").forEach(follow);
document.querySelectorAll("[data-filter]").forEach(filter);
document.querySelectorAll("[data-copy]").forEach(offerCopy);
