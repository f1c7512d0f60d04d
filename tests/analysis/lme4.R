# Fits each file of differences by REML; prints file, term and value as CSV.
suppressMessages(library(lme4))
for (path in commandArgs(TRUE)) {
  rows <- read.csv(path)
  terms <- "value ~ 1 + (1 | fold) + (1 | run) + (1 | group)"
  if (length(unique(rows$dataset)) > 1) terms <- paste(terms, "+ (1 | dataset)")
  fit <- suppressMessages(lmer(as.formula(terms), rows, REML = TRUE))
  spread <- as.data.frame(VarCorr(fit))
  found <- c(setNames(spread$sdcor, paste0("sd_", spread$grp)),
             difference = unname(fixef(fit)), error = sqrt(vcov(fit)[1, 1]))
  cat(sprintf("%s,%s,%.12g\n", basename(path), names(found), found), sep = "")
}
