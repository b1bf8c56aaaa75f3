"""The board as a person sees it: at the sizes of terminals, with words from outside."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from stream.commands.demo_board import board, few_words, spark, too_small
from stream.commands.demo_screen import Screen
from tests.demo_events import Shop

BOOTS: dict[str, Any] = {"item_id": "sku-0412", "item_category": "boots", "price": 89.9}


def shop() -> Shop:
    """Many users; one about to buy, one who has bought, one strange event that is labelled."""
    made = Shop()
    for n in range(60):
        made.event(f"user-{n:07d}", "view_item", n, soon=n / 1000, anomaly=n / 1000, **BOOTS)
        made.state.tick(n, 7)
    made.event("user-likely", "search", 60, search_term="black boots")
    made.event("user-likely", "add_to_cart", 61, soon=0.71, day=0.82, **BOOTS)
    made.event("user-bought", "begin_checkout", 62, soon=0.62)
    made.event("user-bought", "purchase", 302, value=129.9, currency="EUR")
    made.event(
        "user-strange", "view_item_list", 303, anomaly=0.9995, item_category="watches", parts={"category": 5.0},
        label=b'{"fraud":"card_testing"}',
    )  # fmt: skip
    made.state.tick(306, 7)
    return made


def lines(made: Shop, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, force_terminal=False)
    with console.capture() as drawn:
        if too_small(width, height):
            console.print(few_words(made.state, width=width, height=height, lag=7))
        else:
            console.print(board(made.state, width=width, height=height, now=310.0, lag=7))
    return drawn.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40), (100, 30), (60, 16), (230, 70), (20, 5), (1, 1)])
def test_the_board_fits_into_the_terminal_whatever_its_size(width: int, height: int) -> None:
    drawn = lines(shop(), width, height)
    assert len(drawn) <= height
    assert max(cell_len(line) for line in drawn) <= width


def test_the_board_fits_before_anything_is_known() -> None:
    drawn = lines(Shop(), 80, 24)
    assert len(drawn) == 24
    assert "users known" in drawn[1]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40)])
def test_what_matters_is_visible(width: int, height: int) -> None:
    drawn = "\n".join(lines(shop(), width, height))
    for words in (
        "Mon 21 Sep 14:18",  # the shop's clock
        "running 5:10",
        "events/s",
        "latency p50",
        "latency p99",
        "users known",
        "user-likely  0.71 0.82",
        "added sku-0412 boots",
        "user-strange 0.99950",
        "simulated fraud: card testing",
        "129.90 EUR  predicted 0.62  4 min before",
    ):
        assert words in drawn


def test_at_140_columns_events_and_reasons_are_whole() -> None:
    drawn = "\n".join(lines(shop(), 140, 40))
    assert "added sku-0412 boots 89.90 to the cart ← searched 'black boots' " in drawn
    assert "listed watches" in drawn


def test_nothing_from_outside_is_obeyed_by_the_terminal_or_by_rich() -> None:
    made = Shop()
    made.event("[red]u\x1b[2J", "search", 1, soon=0.9, anomaly=0.9999, search_term="[bold]x[/bold] \x1b]0;t\x07 [/]")
    made.state.tick(4, 0)
    for width, height in ((80, 24), (140, 40), (30, 10)):
        drawn = "\n".join(lines(made, width, height))
        assert "[red]u?" in drawn
        assert not {"\x1b", "\x07"} & set(drawn)
    assert "'[bold]x[/bold] ?]0;t? [/]'" in "\n".join(lines(made, 140, 40))


def test_wide_characters_do_not_push_a_line_out_of_the_terminal() -> None:
    made = Shop()
    made.event("用户用户用户", "search", 1, soon=0.9, anomaly=0.9999, search_term="黒いブーツ" * 20)
    made.state.tick(4, 0)
    assert max(cell_len(line) for line in lines(made, 80, 24)) <= 80


def test_a_course_is_drawn_from_nothing_to_its_highest() -> None:
    assert spark([0, 1, 2, 4], 6) == "  ▁▃▅█"
    assert spark(range(100), 3) == "███"
    assert spark([], 3) == "   "
    assert spark([0.0, 0.0], 2) == "▁▁"


def test_lists_keep_their_place_while_they_fill() -> None:
    def titles(made: Shop) -> list[int]:
        return [
            n for n, line in enumerate(lines(made, 80, 24)) if line.startswith(("likeliest", "strangest", "bought ─"))
        ]

    assert titles(Shop()) == titles(shop())
    assert len(titles(shop())) == 3


def test_the_picture_that_is_left_is_the_board_as_it_was_shown_last() -> None:
    console = Console(file=io.StringIO(), width=80, height=24, color_system=None, force_terminal=False)
    made, screen = shop(), Screen(console, lambda: None)
    with console.capture():
        screen.show(made.state, 310.0, 7)
        screen.close()
    made.event("user-after", "purchase", 320, value=5.0, currency="EUR")  # while the worker is stopped
    made.state.tick(330, 0)
    with console.capture() as left:
        screen.leave_a_picture()
    assert left.get().splitlines() == lines(shop(), 80, 24)
