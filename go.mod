module homemail

go 1.26.4
