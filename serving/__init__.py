"""Everything that listens: employs an appraiser and keeps its promises."""
