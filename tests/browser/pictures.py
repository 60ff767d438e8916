"""Screenshots of a running Fourwalls: the pictures of the README, or every page.

With `make run` in another terminal and a link of `manage.py login`: `python -m tests.browser.pictures LINK readme
docs/pictures` retakes those of the README; `... LINK tour FOLDER` takes every page at two widths in both themes.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from urllib.parse import urljoin

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.browser.conftest import CHROMIUM

WIDTHS = {1440: 1000, 390: 844}
FIRST_OF = {
    "run": "/jobs/",
    "sweep": "/sweeps/",
    "dataset": "/data/",
    "node": "/pools/",
    "report": "/reports/",
}
LINK_OF = {
    "run": "/runs/",
    "sweep": "/sweeps/",
    "dataset": "/data/",
    "node": "/nodes/",
    "report": "/reports/",
}
MORE = ("/submit/", "/reports/write/", "/data/upload/", "/not-here/")


def open_page(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_timeout(
        1_500
    )  # charts read and draw; the network is never idle on a page that follows events


def addresses(page: Page, home: str) -> dict[str, str]:
    """Name -> path: the navigation bar, one object of each kind, and forms."""
    open_page(page, home)
    bar = page.eval_on_selector_all("header nav a", "links => links.map(link => link.getAttribute('href'))")
    found = {path.strip("/") or "home": path for path in [*bar, *MORE]}
    for kind, listing in FIRST_OF.items():
        open_page(page, urljoin(home, listing))
        prefix = LINK_OF[kind]
        links = page.eval_on_selector_all("main a", "links => links.map(link => link.getAttribute('href'))")
        one = next(
            (link for link in links if link and link.startswith(prefix) and link.count("/") == 3), None
        )
        if one and one not in MORE:
            found[kind] = one
    runs = [link.split("/")[2] for link in _run_links(page, home)][:4]
    return {**found, "compare-runs": "/compare/?" + "&".join(f"run={run}" for run in runs)} if runs else found


def _run_links(page: Page, home: str) -> list[str]:
    open_page(page, urljoin(home, "/runs/"))
    links = page.eval_on_selector_all("main a", "links => links.map(link => link.getAttribute('href') || '')")
    return [link for link in dict.fromkeys(links) if link.startswith("/runs/") and link.count("/") == 3]


def _print_error(message: ConsoleMessage) -> None:
    if message.type == "error":
        print("console:", message.location["url"], message.text)


def tour(browser: Browser, link: str, folder: Path) -> None:
    """Every page in both widths and themes; prints pages that are wider than their window, and console errors."""
    for theme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 1440, "height": 1000}, color_scheme=theme)
        page = context.new_page()
        open_page(page, link)
        if theme == "light":
            context.storage_state(path=folder / "session.json")
        else:
            context.close()
            context = browser.new_context(color_scheme=theme, storage_state=folder / "session.json")
            page = context.new_page()
        page.on("console", _print_error)
        for name, path in addresses(page, link).items():
            for width, height in WIDTHS.items():
                page.set_viewport_size({"width": width, "height": height})
                open_page(page, urljoin(link, path))
                if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    print(f"wider than {width} px: {path}")
                page.screenshot(path=folder / f"{name.replace('/', '-')}-{width}-{theme}.png", full_page=True)
        context.close()
    (folder / "session.json").unlink()


def readme(browser: Browser, link: str, folder: Path) -> None:
    """The pictures of the README: a run that trains if there is one, and the newest that have ended."""
    page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    open_page(page, link)
    ended = _runs_of_state(page, link, "succeeded")
    run = [*_runs_of_state(page, link, "running"), *ended][0]
    compared = "/compare/?" + "&".join(f"run={path.split('/')[2]}" for path in ended[:4])
    for name, path in {"run": run, "compare": compared, "submit": "/submit/"}.items():
        open_page(page, urljoin(link, path))
        page.screenshot(path=folder / f"{name}.png")
    open_page(page, urljoin(link, ended[0]))  # the parts of a run that trains are replaced again and again
    page.locator("#run-verdict").screenshot(path=folder / "verdict.png")
    page.set_viewport_size({"width": 1440, "height": 900})
    for name in ("queue", "pools"):
        open_page(page, urljoin(link, f"/{name}/"))
        page.screenshot(path=folder / f"{name}.png")


def _runs_of_state(page: Page, home: str, state: str) -> list[str]:
    """Paths of the runs of jobs in a state, newest first."""
    open_page(page, urljoin(home, "/jobs/"))
    links = page.locator("main tr", has_text=state).locator("a[href^='/runs/']")
    return [one.get_attribute("href") or "" for one in links.all()]


def main() -> None:
    link, what, folder = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        {"readme": readme, "tour": tour}[what](browser, link, Path(folder))
        browser.close()


if __name__ == "__main__":
    main()
