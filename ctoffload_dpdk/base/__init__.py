"""What every room stands on: errors, reasons, captures."""
