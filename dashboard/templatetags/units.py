"""Units for people: bytes, seconds, watts, shares."""
from django import template

register = template.Library()
