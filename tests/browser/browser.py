"""A real browser for tests, and what is asked of a page in it."""

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")


def executable() -> str | None:
    """Path of the browser: $QWEFT_BROWSER, or the first of the usual names that is installed."""
    return os.environ.get("QWEFT_BROWSER") or next((path for name in NAMES if (path := shutil.which(name))), None)


OVERFLOWING = """() => {
  const wide = document.documentElement.clientWidth + 1;
  const found = [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > wide && !e.closest('.scroll') && !e.closest('pre'));
  return {page: document.documentElement.scrollWidth - document.documentElement.clientWidth,
          parts: found.map(e => e.tagName + ' ' + e.textContent.slice(0, 40))};
}"""
"""By how much the page is wider than the window, and what reaches beyond it."""

FIGURES = """() => [...document.querySelectorAll('figure svg')].map(e => {
  const box = e.getBoundingClientRect();
  const small = [...e.querySelectorAll('text')].map(t => t.getBoundingClientRect().height);
  const out = [...e.querySelectorAll('text')].filter(t => {
    const inner = t.getBoundingClientRect();
    return inner.right > box.right + 2 || inner.left < box.left - 2
      || inner.bottom > box.bottom + 2 || inner.top < box.top - 2;
  }).map(t => t.textContent);
  const words = e.getAttribute('aria-label') || e.querySelector('desc').textContent;
  return {width: box.width, height: box.height, out,
          smallest: Math.min(...small), described: !!words.trim()};
})"""
"""The boxes of the figures, the height of their smallest text, and texts that are cut off."""

CONTRASTS = """() => {
  const paint = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const parse = text => {
    paint.clearRect(0, 0, 1, 1); paint.fillStyle = text; paint.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour[3] > 0.99) return colour;
    }
    return [255, 255, 255, 1];
  };
  const lowest = {};
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || ['style', 'title', 'desc'].includes(element.tagName.toLowerCase())) continue;
    const style = getComputedStyle(element);
    const front = parse(element.namespaceURI.endsWith('svg') ? style.fill : style.color);
    const [a, b] = [light(front), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const kind = element.tagName + '.' + (element.getAttribute('class') || '');
    lowest[kind] = Math.min(ratio, lowest[kind] ?? 99);
  }
  return lowest;
}"""
"""The lowest contrast of text with what is behind it, by kind of element (WCAG 2)."""

HEADINGS = "() => [...document.querySelectorAll('h1, h2, h3, h4')].map(e => Number(e.tagName[1]))"
