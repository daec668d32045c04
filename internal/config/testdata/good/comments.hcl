# a
// b
/* c
*/
log {} # d
access { allow = ["local"] }
