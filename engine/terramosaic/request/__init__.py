"""What a user asks for, checked.

request           all fields, their defaults and limits
region, area      where: the forms that a region may have, and the geometry that each comes to
features          several regions in one file
interval          when: the period
complaints        what is wrong with a request, in plain lines
"""
