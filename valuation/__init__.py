"""What a device is worth, and what to pay for it.

Glossary: a *sale* is one device sold; a *quote* is an offer to buy one from its owner; a *grade* says how
worn a device is when it is sold, a *condition* how worn it is when it is traded in; an *appraisal* is the
distribution of the resale price of one device on one day in one market; *terms* are a market's taxes,
fees, costs and rules on a day; an *offer* is what is paid and why, line by line; a *suggestion* is what a
seller should ask.

The ladder (a module imports only from a lower rung):

    advice  requote
    offer  suggestion  trial
    deal
    price_list  exploration
    package
    appraiser  script
    comparables
    explanation
    resale
    spread  anchor
    hedonic
    worksheet
    block
    few
    encoding  features
    vocabulary
    generations  ledger
    rules  bargain  proceeds  owners
    acceptance  inspection
    markets
    dated
    rulebook
    questions
    told
    catalogue
    derivation
    catalogue_file
    names  appraisal
    grades
    money  rows  controls  forest  signature
"""
