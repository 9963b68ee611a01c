"use strict";
(() => {
  const form = document.querySelector("form.filters");
  const count = form.querySelector("output");
  let request = new AbortController(), timer = 0;
  const filtered = () => "/?" + new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  const wait = (milliseconds, address) => {
    clearTimeout(timer);
    timer = setTimeout(() => load(address()), milliseconds);
  };
  const rest = () => {
    if (Number(document.querySelector("#shown").dataset.unread)) wait(300, () => location.pathname + location.search);
  };
  async function load(address) {
    request.abort();
    request = new AbortController();
    try {
      const response = await fetch(address, { signal: request.signal });
      if (!response.ok) throw new Error(response.statusText);
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      document.querySelector("#shown").replaceWith(page.querySelector("#shown"));
      for (const select of form.querySelectorAll("select")) {
        const chosen = select.value;
        const options = [...page.querySelector(`select[name=${select.name}]`).children];
        select.replaceChildren(...options.map((option) => option.cloneNode(true))); // moved ones would all be selected
        if (chosen) select.value = chosen;
      }
      count.textContent = page.querySelector("form.filters output").textContent;
      history.replaceState(null, "", address);
      rest();
    } catch (error) {
      if (error.name !== "AbortError") count.textContent = "medbench view does not answer: start it again";
    }
  }
  form.addEventListener("submit", (event) => { event.preventDefault(); wait(0, filtered); });
  form.addEventListener("input", () => wait(200, filtered));
  rest();
})();
