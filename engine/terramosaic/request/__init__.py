"""What a user asks for, checked.

request             all fields, their defaults and limits
region, features    the area: a box, a polygon, a tile, a file of features
interval            the period
"""
