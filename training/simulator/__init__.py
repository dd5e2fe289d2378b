"""An invented market with known truth: the default to begin with, the examiner of every model, a teaching tool.

A `scenario` is a small file on top of market.toml. With a seed it is a `world`: what devices there are, what each is
worth on each day, and how far prices lie from that. In a world, markets are invented part by part (`market`): sales,
listings and quotes, in the columns of the ledger, and beside them the truth about every row. An `Oracle` values
devices as one who knows the world. Nothing here is a price of a real market: every id begins with MARK.

    market
    tables  oracle
    listings  dirt
    sales  quotes
    truth
    asking  costs
    goods
    world
    times
    shelf  resold
    noise  scenario
    facts
    events
    kinds  refusal
"""

MARK = "sim-"  # begins the id of every simulated sale, listing, quote and unit
