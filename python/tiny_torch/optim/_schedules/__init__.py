"""The schedules behind `optim.lr_scheduler`."""
