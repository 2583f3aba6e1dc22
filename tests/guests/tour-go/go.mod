module tour-go

go 1.24

require realm.invalid/guest v0.0.0

replace realm.invalid/guest => ../../../guests/sdk-go
