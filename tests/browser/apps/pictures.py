"""Pictures for the apps of the browser tests."""

from __future__ import annotations

import io

import streamlit as st
from PIL import Image, ImageDraw


@st.cache_data
def thumbnail(number: int, pixels: int) -> bytes:
    """A coloured shape on a two-part ground, different for every number."""
    hue = number * 47 % 360
    water = number % 3 != 0
    picture = Image.new("HSV", (pixels, pixels), (140, 70, 225) if water else (60, 60, 225)).convert("RGB")
    draw = ImageDraw.Draw(picture)
    ground = Image.new("HSV", (1, 1), (145, 130, 170) if water else (75, 140, 150)).convert("RGB").getpixel((0, 0))
    horizon = pixels * (50 + number * 7 % 25) // 100
    draw.rectangle((0, horizon, pixels, pixels), fill=ground)
    body = Image.new("HSV", (1, 1), (hue * 255 // 360, 170, 210)).convert("RGB").getpixel((0, 0))
    x, y, r = pixels * (30 + number * 13 % 40) // 100, horizon - pixels // 20, pixels * (14 + number * 5 % 10) // 100
    draw.ellipse((x - r * 1.4, y - r, x + r * 1.4, y + r), fill=body)
    draw.ellipse((x + r * 0.7, y - r * 1.6, x + r * 1.9, y - r * 0.4), fill=body)
    draw.polygon([(x + r * 1.8, y - r * 1.2), (x + r * 2.5, y - r), (x + r * 1.8, y - r * 0.8)], fill=(240, 180, 60))
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=80)
    return out.getvalue()
