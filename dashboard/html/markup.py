"""HTML of icons, badges and relative times."""

from __future__ import annotations

from datetime import datetime

from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from dashboard.html.badges import JOB_BADGES, Badge
from dashboard.html.format import ABSENT, DURATION_UNITS, as_eta

CUT_LONG, CUT_TAIL = 24, 12  # characters; shared/names.js has the same
SPRITE = "vendor/bootstrap-icons-1.13.2/sprite.svg"


def icon(name: str) -> SafeString:
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>', static(SPRITE), name
    )


def cut_middle(name: str) -> SafeString:
    """Render a name that is cut in the middle where there is too little room: its ends tell it apart."""
    text = str(name)
    at = len(text) - CUT_TAIL if len(text) > CUT_LONG else len(text)
    parts = format_html_join("", "<span>{}</span>", ((part,) for part in (text[:at], text[at:]) if part))
    return format_html('<span class="cut">{}</span>', parts)


def tone_badge(tone: str, icon_name: str, text: str) -> SafeString:
    """Render a badge that shows no state: a tone of app.css, an icon and a text."""
    return badge_markup(text, Badge(tone, icon_name))


def job_badge(state: str) -> SafeString:
    return badge_markup(state, JOB_BADGES[state])


def ahead(at: datetime | None) -> SafeString:
    """Render the time left until `at`. app.js updates it; the title holds the exact time."""
    if at is None:
        return format_html('<span class="quiet">{}</span>', ABSENT)
    seconds = (at - timezone.now()).total_seconds()
    text = f"in {as_eta(seconds)}" if seconds >= 1 else "any moment"
    return format_html(
        '<time data-ahead datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        f"{at:%Y-%m-%d %H:%M:%S} UTC",
        text,
    )


def ago(at: datetime | None) -> SafeString:
    """Render the time since `at`. app.js updates it; the title holds the exact time."""
    if at is None:
        return format_html('<span class="quiet">{}</span>', ABSENT)
    seconds = max(0.0, (timezone.now() - at).total_seconds())
    size, name = next((span for span in DURATION_UNITS if seconds >= span[0]), DURATION_UNITS[-1])
    text = "just now" if seconds < 10 else f"{seconds // size:.0f} {name} ago"
    return format_html(
        '<time data-ago datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        f"{at:%Y-%m-%d %H:%M:%S} UTC",
        text,
    )


def badge_markup(state: str, badge: Badge) -> SafeString:
    return format_html(
        '<span class="badge-state is-{}"><span class="beat">{}</span>{}</span>',
        badge.tone,
        icon(badge.icon),
        state,
    )
