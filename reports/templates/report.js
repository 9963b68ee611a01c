"use strict";
(() => {
  const controls = document.querySelector(".controls");
  const questions = [...document.querySelectorAll("details.question")];
  const open = () => {
    let target = null;
    try { target = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return; }
    if (!target) return;
    for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    const question = target.closest("details.question");
    if (!question) return;
    question.hidden = question.closest("section").hidden = false;
    question.scrollIntoView();
    question.querySelector("summary").focus({ preventScroll: true });
  };
  if (controls) {
    const task = controls.querySelector("select"), search = controls.querySelector("input[type=search]");
    const radios = [...controls.querySelectorAll("input[type=radio]")];
    const count = controls.querySelector("output");
    const texts = new Map();
    const textOf = (question) => texts.get(question)
      ?? texts.set(question, question.textContent.toLowerCase()).get(question);
    const apply = () => {
      const mark = radios.find((radio) => radio.checked).value;
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const counts = new Map(radios.map((radio) => [radio.value, 0]));
      let shown = 0;
      for (const question of questions) {
        const marks = ["", ...question.dataset.marks.split(" ")];
        const matches = (!task || !task.value || question.dataset.task === task.value)
          && words.every((word) => textOf(question).includes(word));
        if (matches) for (const name of marks) if (counts.has(name)) counts.set(name, counts.get(name) + 1);
        question.hidden = !(matches && marks.includes(mark));
        shown += !question.hidden;
      }
      for (const section of document.querySelectorAll("section.task")) {
        section.hidden = ![...section.querySelectorAll("details.question")].some((question) => !question.hidden);
      }
      for (const radio of radios) radio.parentElement.querySelector("span").textContent = counts.get(radio.value);
      count.textContent = `${shown} of ${questions.length} questions shown`;
    };
    controls.hidden = document.querySelector(".keys").hidden = false;
    controls.addEventListener("submit", (event) => event.preventDefault());
    controls.addEventListener("input", apply);
    apply();
  }
  const steps = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
  for (const section of document.querySelectorAll("section.task")) {
    section.addEventListener("keydown", (event) => {
      const question = event.target.closest("details.question");
      if (!question || event.ctrlKey || event.metaKey || event.altKey) return;
      const summary = question.querySelector("summary");
      if (event.key === "Escape") question.open = false;
      else if (event.key === "/" && controls) controls.querySelector("input[type=search]").focus();
      else if (event.key in steps && event.target === summary) {
        const visible = questions.filter((one) => !one.hidden);
        const next = visible[visible.indexOf(question) + steps[event.key]];
        if (next) next.querySelector("summary").focus();
      } else return;
      if (event.key === "Escape") summary.focus();
      event.preventDefault();
    });
  }
  addEventListener("hashchange", open);
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details.printed:not([open])")];
    for (const details of closed) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of closed) details.open = false; });
  open();
})();
