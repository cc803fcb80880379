"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const body = document.querySelector("#queries tbody");
  if (!body) return;

  const state = { measure: 0, system: data.target, sort: "change", descending: false, text: "", outcome: "all" };
  const SHOWN = 10; // ranks of each order that a query's detail lists, besides the relevant ones
  const SVG = "http://www.w3.org/2000/svg";

  function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  function drawn(name, attributes = {}, ...children) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  const signed = (value) => (value > 0 ? "+" : "") + value.toFixed(3);
  const number = (value) => (value === null ? "-" : value.toFixed(3));
  const cut = (text, length) => (text.length > length ? text.slice(0, length - 1) + "\u2026" : text);

  const before = (query) => query.values[state.measure][data.baseline];
  const after = (query) => query.values[state.measure][state.system];
  const change = (query) => {
    const [old, now] = [before(query), after(query)];
    return old === null || now === null ? null : now - old;
  };
  const outcome = (query) => {
    if (query.status !== "ok") return query.status;
    const difference = change(query);
    return difference > 0 ? "gained" : difference < 0 ? "lost" : "unchanged";
  };
  const rank = (query, system) => query.first[system];

  const KEYS = {
    question: (query) => query.query.toLowerCase(),
    before, after, change,
    rank: (query) => (rank(query, state.system) ?? Infinity),
  };

  function compare(left, right) {
    const [a, b] = [KEYS[state.sort](left), KEYS[state.sort](right)];
    if (a === b) return 0;
    if (a === null) return 1; // what has no value stands last in either direction
    if (b === null) return -1;
    return (a < b ? -1 : 1) * (state.descending ? -1 : 1);
  }

  function movement(query) {
    const old = query.runs[data.baseline], now = query.runs[state.system];
    const oldRank = new Map(old.map((document, index) => [document, index + 1]));
    const nowRank = new Map(now.map((document, index) => [document, index + 1]));
    const shown = new Set([...now.slice(0, SHOWN), ...old.slice(0, SHOWN)]);
    for (const document of new Set([...now, ...old])) {
      if ((query.grades[document] ?? 0) > 0) shown.add(document);
    }
    const documents = [...shown].map((document) => ({
      id: data.documents[document][0], text: data.documents[document][1],
      was: oldRank.get(document) ?? null, is: nowRank.get(document) ?? null,
      grade: query.grades[document] ?? null,
    }));
    return documents.sort((a, b) => (a.is ?? Infinity) - (b.is ?? Infinity) || (a.was ?? 0) - (b.was ?? 0));
  }

  function chart(documents) {
    const narrow = body.clientWidth < 520;
    const row = 22, top = 30, long = narrow ? 10 : 24;
    const [width, left, right] = narrow ? [330, 118, 212] : [640, 220, 420];
    const places = (key) => new Map(
      documents.filter((d) => d[key] !== null).sort((a, b) => a[key] - b[key]).map((d, i) => [d, top + row * i + row / 2]));
    const was = places("was"), is = places("is");
    const height = top + row * Math.max(was.size, is.size) + 6;
    const picture = drawn("svg", { viewBox: `0 0 ${width} ${height}`, class: "movement", role: "img" },
      drawn("title", {}, "Ranks before and after reranking; relevant documents are drawn strongly"));
    const label = (x, y, anchor, text) => drawn("text", { x, y: y + 4, "text-anchor": anchor }, text);
    picture.append(label(left, 14, "end", data.systems[data.baseline]), label(right, 14, "start", data.systems[state.system]));
    const last = (d) => ((d.grade ?? 0) > 0 ? 1 : 0); // relevant ones lie on top
    for (const d of [...documents].sort((a, b) => last(a) - last(b))) {
      const fell = d.is === null || (d.was !== null && d.is > d.was);
      const group = drawn("g", { class: last(d) ? `relevant${fell ? " fell" : ""}` : "other" });
      const [y1, y2] = [was.get(d), is.get(d)];
      if (y1 !== undefined && y2 !== undefined) {
        const third = (right - left) / 3;
        group.append(drawn("path", { d: `M${left + 8} ${y1}C${left + third} ${y1} ${right - third} ${y2} ${right - 8} ${y2}` }));
      }
      const star = last(d) ? "\u2605 " : "";
      if (y1 !== undefined) group.append(label(left, y1, "end", `${star}${cut(d.id, long)}\u2003${d.was}`));
      if (y2 !== undefined) group.append(label(right, y2, "start", `${d.is}\u2003${star}${cut(d.id, long)}`));
      picture.append(group);
    }
    return picture;
  }

  function detail(query) {
    const cell = element("td", { colSpan: 5 });
    if (query.reason) cell.append(element("p", { className: "warning" }, query.reason));
    const documents = movement(query);
    if (!documents.length) cell.append(element("p", { className: "quiet" }, "No document was retrieved."));
    else {
      cell.append(chart(documents));
      const list = element("ol", { className: "documents" });
      for (const d of documents) {
        const facts = element("div", { className: "facts" },
          `${d.is === null ? "not returned" : "rank " + d.is} (was ${d.was ?? "not there"}) \u00B7 ${d.id}`);
        if (d.grade !== null) facts.append(" \u00B7 ", element("span", { className: d.grade > 0 ? "grade" : "" }, `label ${d.grade}`));
        list.append(element("li", {}, facts, element("div", { className: "text" }, d.text ?? "")));
      }
      cell.append(list);
    }
    return element("tr", { className: "detail" }, cell);
  }

  function cells(query) {
    const difference = change(query), kind = outcome(query);
    const opener = element("button", { type: "button" }, query.query || "(empty question)");
    opener.setAttribute("aria-expanded", "false");
    const question = element("td", { className: "question" }, opener,
      element("span", { className: "id" }, query.id + (query.status === "ok" ? "" : " \u00B7 " + query.status)));
    const ranks = `${rank(query, data.baseline) ?? "-"} \u2192 ${rank(query, state.system) ?? "-"}`;
    const made = [question];
    for (const [name, text, style] of [
      [data.systems[data.baseline], number(before(query)), ""], [data.systems[state.system], number(after(query)), ""],
      ["Change", difference === null ? "-" : signed(difference), kind], ["First relevant", ranks, ""],
    ]) {
      const cell = element("td", { className: style }, text);
      cell.dataset.label = name;
      made.push(cell);
    }
    return [made, opener];
  }

  function row(query) {
    const [made, opener] = cells(query);
    const line = element("tr", { className: "query" }, ...made);
    line.dataset.id = query.id;
    let open = null;
    line.addEventListener("click", () => {
      if (open) { open.remove(); open = null; } else { open = detail(query); line.after(open); }
      opener.setAttribute("aria-expanded", String(open !== null));
    });
    return line;
  }

  function refresh() {
    const needle = state.text.toLowerCase();
    const rows = data.queries
      .filter((query) => state.outcome === "all" || outcome(query) === state.outcome)
      .filter((query) => !needle || `${query.id}\n${query.query}\n${query.tags.join(" ")}`.toLowerCase().includes(needle))
      .sort(compare);
    body.replaceChildren(...rows.map(row));
    document.getElementById("count").textContent = `${rows.length} of ${data.queries.length} queries`;
    document.querySelector('#queries th[data-key="before"] button').textContent = data.systems[data.baseline];
    document.querySelector('#queries th[data-key="after"] button').textContent = data.systems[state.system];
    for (const head of document.querySelectorAll("#queries th")) {
      if (head.dataset.key === state.sort) head.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    document.getElementById("sort").value = `${state.sort}:${state.descending ? "descending" : "ascending"}`;
  }

  for (const head of document.querySelectorAll("#queries th")) {
    head.querySelector("button").addEventListener("click", () => {
      state.descending = head.dataset.key === state.sort ? !state.descending : head.dataset.key !== "question" && head.dataset.key !== "rank";
      state.sort = head.dataset.key;
      refresh();
    });
  }
  const on = (id, event, act) => document.getElementById(id)?.addEventListener(event, (happened) => { act(happened.target.value); refresh(); });
  on("filter", "input", (value) => { state.text = value; });
  on("outcome", "change", (value) => { state.outcome = value; });
  on("measure", "change", (value) => { state.measure = Number(value); });
  on("system", "change", (value) => { state.system = Number(value); });
  on("sort", "change", (value) => {
    const [key, direction] = value.split(":");
    [state.sort, state.descending] = [key, direction === "descending"];
  });
  refresh();
})();
