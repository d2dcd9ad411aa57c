"""losslab: compare loss functions fairly, with statistics."""
