"""Whatever is wrong with an input, damcli says so once and leaves every file as it was.

`good` makes a small sound file of every kind, `damage` and its neighbours spoil them, `kinds`
says which commands read which kind, and `test_refused` runs them all.
"""
