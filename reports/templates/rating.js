"use strict";
const form = document.querySelector("form");
const store = "medbench-rating-" + form.dataset.sheet;
const fields = [...form.querySelectorAll("input, textarea")];
const quote = (text) => '"' + text.replaceAll('"', '""') + '"';

function value(name) {
  const marked = form.querySelector(`input[name="${name}"]:checked`);
  return marked ? marked.value : "";
}

function progress() {
  const names = new Set(fields.filter((field) => field.type === "radio").map((field) => field.name));
  const done = [...names].filter((name) => value(name)).length;
  document.querySelector("output").textContent = `${done} of ${names.size} ratings given`;
}

function keep() {
  const saved = {};
  for (const field of fields) {
    if (field.type !== "radio") saved[field.name] = field.value;
    else if (field.checked) saved[field.name] = field.value;
  }
  try { localStorage.setItem(store, JSON.stringify(saved)); } catch { /* a page from disk may have no storage */ }
  progress();
}

function restore() {
  let saved = {};
  try { saved = JSON.parse(localStorage.getItem(store)) || {}; } catch { saved = {}; }
  for (const field of fields) {
    if (!(field.name in saved)) continue;
    if (field.type === "radio") field.checked = field.value === saved[field.name];
    else field.value = saved[field.name];
  }
  progress();
}

function sheet() {
  const aspects = form.dataset.aspects.split(" ");
  const lines = [["code", ...aspects, "comment"].join(",")];
  for (const card of form.querySelectorAll("article")) {
    const code = card.id;
    const comment = card.querySelector("textarea").value;
    lines.push([code, ...aspects.map((aspect) => value(`${code}.${aspect}`)), quote(comment)].join(","));
  }
  return lines.join("\r\n") + "\r\n";
}

form.addEventListener("input", keep);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([sheet()], { type: "text/csv" }));
  link.download = (form.elements.rater.value.trim().replace(/[^\p{L}\p{N}_-]+/gu, "-") || "rater") + ".csv";
  link.click();
});
restore();
