"""Pictures of who can be told from whom: buyers, and each kind of fraud."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stream.comparison.buyers import AUC_AIM
from stream.comparison.fraud_rules import FOUND_AIM, Kind
from stream.comparison.result import BuyersCase
from stream.pages.drawing import AIM, REAL, SHADE, SIMULATED, Picture, svg


def buyers(cases: Sequence[BuyersCase]) -> Picture:
    def bars(axes: Any) -> None:
        axes.axvspan(*AUC_AIM, color=SHADE, zorder=0)
        labels: list[str] = []
        for case in cases:
            assert case.found is not None
            colour = SIMULATED if case.simulated else REAL
            for model, interval in (("boosting", case.found.boosting), ("regression", case.found.regression)):
                if interval is None:
                    continue
                error = [[interval.auc - interval.low], [interval.high - interval.auc]]
                axes.errorbar(interval.auc, len(labels), xerr=error, fmt="o" if model == "boosting" else "s", capsize=3,
                              color=colour, markersize=5)  # fmt: skip
                axes.text(interval.high + 0.008, len(labels), f"{interval.auc:.3f}", va="center", fontsize=8.5)
                labels.append(f"{case.title}, {model}")
        axes.axvline(0.5, color=AIM, linewidth=0.8)
        axes.set(yticks=range(len(labels)), yticklabels=labels, xlim=(0.45, 1), xlabel="AUC, 95 % over users")
        axes.set_ylim(len(labels) - 0.4, -0.6)

    count = sum(1 + (case.found is not None and case.found.boosting is not None) for case in cases)
    said = "; ".join(
        f"{case.title} {interval.auc:.3f} ({interval.low:.3f} to {interval.high:.3f})"
        for case in cases
        if case.found and (interval := case.found.headline)
    )
    return Picture(
        svg(bars, (9.4, 0.9 + 0.32 * count)),
        f"<b>Who buys within 6 hours.</b> Shaded: the aim for simulated buyers, {AUC_AIM[0]:g} to {AUC_AIM[1]:g}.",
        f"AUC of purchases within 6 hours: {said}.",
        wide=True,
    )


def fraud(kinds: Sequence[Kind], unit: str) -> Picture:
    def bars(axes: Any) -> None:
        places = np.arange(len(kinds))
        best = [kind.rules[0] for kind in kinds]
        axes.barh(places, [rule.found for rule in best], 0.55, color=SIMULATED, label="best rule of one feature")
        for place, rule in zip(places, best, strict=True):
            axes.text(rule.found + 0.015, place, f"{rule.found:.0%}  {rule.feature} {rule.side} {rule.cut:.3g}",
                      va="center", fontsize=8.5)  # fmt: skip
        together = [(place, kind.combination) for place, kind in zip(places, kinds, strict=True)]
        known = [(place, found) for place, found in together if found is not None]
        if known:
            axes.scatter([found for _, found in known], [place + 0.37 for place, _ in known], marker="D", s=26,
                         color=REAL, label="all features together", zorder=3)  # fmt: skip
        axes.axvline(FOUND_AIM, color=AIM, linestyle="--", linewidth=1)
        axes.set(yticks=places, yticklabels=[f"{kind.name} ({kind.units:,})" for kind in kinds], xlim=(0, 1.6))
        axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
        axes.set_xlabel("share found at 1 % false alarms", loc="left")
        axes.set_ylim(len(kinds) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16 + 0.1 / len(kinds)), ncols=2)

    said = "; ".join(f"{kind.name} {kind.rules[0].found:.0%} by {kind.rules[0].feature}" for kind in kinds)
    return Picture(
        svg(bars, (9.4, 1.3 + 0.48 * len(kinds))),
        f"<b>Fraud found, by {unit}.</b> Dashed: no rule of one feature should find more than {FOUND_AIM:.0%}.",
        f"Share of the {unit} of each kind of fraud that the best rule of one feature finds: {said}.",
        wide=True,
    )
