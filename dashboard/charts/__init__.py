"""Panels, sections, colours and labels of charts."""
