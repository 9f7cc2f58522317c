"""What commands print with: tables that fit, bars, lines for a terminal or a pipe."""
