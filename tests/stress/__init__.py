"""Commands that are killed, hindered, run beside each other and on other threads."""
