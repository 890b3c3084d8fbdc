// Puts the page together: every chart in its place, and the chooser of sample answers. What it shows comes from the JSON in the page.

function answers(host, samples) {
  const choose = element(host, "div", { class: "choose" });
  const prompt = element(host, "p", { class: "prompt" });
  const row = element(host, "div", { class: "row", tabindex: "0", role: "group", "aria-label": "answers by generation" });
  const chooser = (name) => element(element(choose, "label", {}, name), "select", {});
  const runs = chooser("Run");
  const prompts = chooser("Prompt");
  samples.forEach((sample, index) => element(runs, "option", { value: index }, sample.run));

  const showAnswers = () => {
    const sample = samples[runs.value];
    const chosen = sample.prompts[prompts.value];
    row.replaceChildren();
    row.scrollLeft = 0;
    prompt.hidden = !chosen;
    if (!chosen) return;
    prompt.textContent = chosen.text === null ? chosen.bucket + ", " + chosen.id : chosen.text;
    sample.generations.forEach((generation, index) => {
      const answers = chosen.answers[index];
      const card = element(row, "article", { class: "card" });
      element(card, "h4", {}, "generation " + generation);
      if (answers.length === 0) element(card, "p", { class: "note" }, "no answer");
      for (const answer of answers) {
        const number = answers.length > 1 ? "answer " + (answer.response + 1) + ", " : "";
        const ended = answer.finish === null ? "" : ", ended by " + answer.finish;
        element(card, "h5", {}, number + answer.characters + " characters" + ended);
        const cut = Array.from(answer.text).length < answer.characters;
        element(card, "p", {}, answer.text.trim() === "" ? "(empty)" : answer.text + (cut ? " \u2026" : ""));
      }
    });
  };
  const showPrompts = () => {
    const kept = prompts.value;
    prompts.replaceChildren();
    samples[runs.value].prompts.forEach((one, index) => {
      element(prompts, "option", { value: index }, one.bucket === "" ? one.id : one.bucket + ": " + one.id);
    });
    if (kept !== "" && Number(kept) < prompts.options.length) prompts.value = kept;
    showAnswers();
  };
  runs.addEventListener("change", showPrompts);
  prompts.addEventListener("change", showAnswers);
  showPrompts();
}

const report = JSON.parse(document.getElementById("report-data").textContent);
for (const chart of report.charts) {
  const host = document.querySelector('[data-chart="' + chart.id + '"]');
  if (host) new Chart(host, chart);
}
const heatMapHost = document.querySelector("[data-heat-map]");
if (heatMapHost) new HeatMap(heatMapHost, report.heat_map);
const spectrumHost = document.querySelector("[data-spectrum]");
if (spectrumHost) new SpectrumPicture(spectrumHost, report.spectra);
const answersHost = document.querySelector("[data-answers]");
if (answersHost) answers(answersHost, report.samples);
