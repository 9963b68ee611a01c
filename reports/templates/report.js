"use strict";
(() => {
  const controls = document.querySelector(".controls");
  const questions = [...document.querySelectorAll("details.question")];
  const open = () => {
    let target = null;
    try { target = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return; }
    const question = target && target.closest("details.question");
    if (!question) return;
    question.hidden = question.closest("section").hidden = false;
    question.open = true;
    question.scrollIntoView();
    question.querySelector("summary").focus({ preventScroll: true });
  };
  if (controls) {
    const task = controls.querySelector("select"), search = controls.querySelector("input[type=search]");
    const count = controls.querySelector("output");
    const texts = new Map();
    const textOf = (question) => texts.get(question)
      ?? texts.set(question, question.textContent.toLowerCase()).get(question);
    const apply = () => {
      const mark = controls.querySelector("input[type=radio]:checked").value;
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const question of questions) {
        const passes = (!mark || question.dataset.marks.split(" ").includes(mark))
          && (!task || !task.value || question.dataset.task === task.value)
          && words.every((word) => textOf(question).includes(word));
        question.hidden = !passes;
        shown += passes;
      }
      for (const section of document.querySelectorAll("section.task")) {
        section.hidden = ![...section.querySelectorAll("details.question")].some((question) => !question.hidden);
      }
      count.textContent = `${shown} of ${questions.length} questions shown`;
    };
    controls.hidden = false;
    controls.addEventListener("submit", (event) => event.preventDefault());
    controls.addEventListener("input", apply);
    apply();
  }
  addEventListener("hashchange", open);
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details.figures:not([open])")];
    for (const details of closed) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of closed) details.open = false; });
  open();
})();
