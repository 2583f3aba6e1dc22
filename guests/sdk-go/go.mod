module realm.invalid/guest

go 1.24
