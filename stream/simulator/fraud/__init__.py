"""Five kinds of fraud, each a script of what its accounts do. They leave in events what honest people leave too.

Every event of a case carries a label beside it (`ShopEvent.label`), none within. Each kind is drawn so broadly that no
rule on one feature finds most of its accounts without accusing many others: honest shoppers share devices, buy by the
dozen, retry cards that are refused and travel; and offenders' accounts mostly have a life beside, like any shopper's.
"""
