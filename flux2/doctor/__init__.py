"""`flux2 doctor`: whether this machine does what the program relies on, found out in a minute."""
