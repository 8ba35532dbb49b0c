"""What a user asks for, checked: region, period, options."""
