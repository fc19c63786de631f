"""How right the results are: decoding against removed and cut packets, replay against recorded reality."""
