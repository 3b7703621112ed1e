"use strict";
// The events bring the middle of the page as the server draws it. Only what differs is changed, so that a selection, the focus
// and what is being typed stay as they are.
const main = document.getElementById("now");
const live = document.getElementById("live");

function morph(from, to) {
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name)) from.removeAttribute(name);
  }
  children(from, to);
}

function children(from, to) {
  const now = [...from.childNodes];
  const next = [...to.childNodes];
  next.forEach((n, i) => {
    const o = now[i];
    if (!o) from.append(n);
    else if (o.nodeName !== n.nodeName) o.replaceWith(n);
    else if (n.nodeType === Node.ELEMENT_NODE) morph(o, n);
    else if (o.data !== n.data) o.data = n.data;
  });
  now.slice(next.length).forEach((o) => o.remove());
}

// The server knows no time zone; the browser does.
function localTimes(root) {
  for (const t of root.querySelectorAll("time")) {
    t.title = t.textContent;
    t.textContent = new Date(t.dateTime).toLocaleTimeString([], { hourCycle: "h23" });
  }
}
localTimes(document);

const events = new EventSource("/api/events" + location.search);
events.onmessage = (e) => {
  const next = new DOMParser().parseFromString("<main>" + e.data + "</main>", "text/html").querySelector("main");
  localTimes(next);
  children(main, next);
  say("live");
};
events.onerror = () => say("not connected: what you see may be old");

function say(text) {
  if (live.textContent !== text) live.textContent = text;
  live.classList.toggle("lost", text !== "live");
}
