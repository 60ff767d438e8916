// The tail of a rank's log: read again while the run goes on, as text and nothing else.
const log = document.getElementById("log");
const GAP_MS = 1500;
let timer = null;

if (log) {
  const rank = document.getElementById("log-rank");
  const follow = document.getElementById("log-follow");
  const load = async () => {
    timer = null;
    if (document.hidden) return;
    const answer = await fetch(`${log.dataset.logUrl}?rank=${rank.value}`).catch(() => null);
    if (!answer?.ok) return;
    const text = await answer.text();
    if (log.innerHTML !== text) log.innerHTML = text;
    if (follow.checked) log.scrollTop = log.scrollHeight;
    if (log.querySelector("[data-log-again]")) soon(); // it is brought from another machine, which is no event
  };
  const soon = () => { timer ??= setTimeout(load, GAP_MS); };
  rank.addEventListener("change", load);
  follow.addEventListener("change", load);
  document.addEventListener("live:run", ({ detail }) => (!detail.id || log.dataset.logUrl.includes(detail.id)) && soon());
  document.addEventListener("live:job", soon);
  load();
}
