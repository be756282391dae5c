package enter

var Own = own
