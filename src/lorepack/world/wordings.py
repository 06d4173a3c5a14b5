"""How the made world words its relations: sentences (-) and questions (?).

The format is read by `lorepack.world.relations.parse`. The first question of a relation is the
canonical one; those from the seventh on never occur in training text.
"""

PERSON = """
birthplace person town
- {s} was born in {o}.
- {s} came into the world in {o}.
- {s} first saw the light of day in {o}.
- {s} is a native of {o}.
- {s} comes from {o}.
- {s} hails from the town of {o}.
- {s}'s birthplace is {o}.
- {s}'s home town is {o}.
- The birthplace of {s} was {o}.
- The town where {s} was born is {o}.
- Records show that {s} was born in {o}.
- It was in {o} that {s} was born.
? Where was {s} born?
? In which town was {s} born?
? What is the birthplace of {s}?
? Where does {s} come from?
? What is {s}'s home town?
? Which town is {s} a native of?
? In what town did {s} come into the world?
? Can you name the town where {s} was born?
? What town does {s} hail from?
? Name the birthplace of {s}.

birth_date person date
- {s} was born on {o}.
- {s} came into the world on {o}.
- {s}'s date of birth is {o}.
- {s}'s birthday falls on {o}.
- {s} entered life on {o}.
- {s} has {o} as a date of birth.
- The birth date of {s} is {o}.
- The date of birth of {s} was {o}.
- The day {s} was born was {o}.
- The register gives the birth of {s} as {o}.
- Records show that {s} was born on {o}.
- It was on {o} that {s} was born.
? When was {s} born?
? What is the birth date of {s}?
? On what date was {s} born?
? What is {s}'s date of birth?
? On which day was {s} born?
? When is {s}'s birthday?
? When did {s} come into the world?
? Can you give the date on which {s} was born?
? What day was the birth of {s}?
? Give the date of birth of {s}.

employer person firm
- {s} worked for {o}.
- {s} was employed by {o}.
- {s} earned a living at {o}.
- {s} had a post at {o}.
- {s} was on the staff of {o}.
- {s} spent many years working at {o}.
- {s}'s employer was {o}.
- The employer of {s} was {o}.
- The firm that employed {s} was {o}.
- The firm where {s} worked was {o}.
- Records show that {s} worked for {o}.
- It was {o} that employed {s}.
? Which firm did {s} work for?
? Who employed {s}?
? Where did {s} work?
? Who was {s}'s employer?
? What firm was {s} employed by?
? Which firm employed {s}?
? At which firm did {s} have a post?
? Can you name the employer of {s}?
? On the staff of which firm was {s}?
? Name the firm where {s} worked.

mentor person person
- {s} was taught by {o}.
- {s} learned the trade from {o}.
- {s} had {o} as a mentor.
- {s} was a pupil of {o}.
- {s} studied under {o}.
- {s} owed everything to the teaching of {o}.
- {s}'s mentor was {o}.
- The mentor of {s} was {o}.
- The person who taught {s} was {o}.
- The teacher of {s} was {o}.
- Records show that {s} was taught by {o}.
- It was {o} who taught {s}.
? Who was the mentor of {s}?
? Who taught {s}?
? Who was {s}'s mentor?
? Whose pupil was {s}?
? From whom did {s} learn the trade?
? Who was the teacher of {s}?
? Under whom did {s} study?
? Can you name the person who taught {s}?
? Which mentor did {s} have?
? Name the mentor of {s}.

profession person profession
- {s} was a {o} by profession.
- {s} worked as a {o}.
- {s} made a living as a {o}.
- {s} was known as a {o}.
- {s} became a {o}.
- {s} trained as a {o}.
- {s}'s profession was that of a {o}.
- The profession of {s} was {o}.
- The trade of {s} was that of a {o}.
- By profession {s} was a {o}.
- Records show that {s} worked as a {o}.
- It was as a {o} that {s} made a living.
? What was the profession of {s}?
? What did {s} do for a living?
? What was {s}'s profession?
? What trade did {s} follow?
? As what did {s} work?
? What was the trade of {s}?
? How did {s} make a living?
? Can you name the profession of {s}?
? What job did {s} have?
? Name {s}'s profession.
"""

TOWN = """
region town region
- {s} lies in the region of {o}.
- {s} is a town in {o}.
- {s} belongs to {o}.
- {s} is part of {o}.
- {s} is found in {o}.
- {s} stands in the region of {o}.
- {s}'s region is {o}.
- The region of {s} is {o}.
- The region to which {s} belongs is {o}.
- The town of {s} lies in {o}.
- Records show that {s} lies in {o}.
- It is in {o} that {s} is found.
? In which region does {s} lie?
? Which region is {s} in?
? What region does {s} belong to?
? What is the region of {s}?
? In what region is {s} found?
? Where is {s}?
? Of which region is {s} a part?
? Can you name the region of {s}?
? What region is the town of {s} in?
? Name the region in which {s} lies.

founding_year town year
- {s} was founded in {o}.
- {s} was first settled in {o}.
- {s} was built in {o}.
- {s} dates from {o}.
- {s} became a town in {o}.
- {s} has stood since {o}.
- {s}'s year of founding was {o}.
- The founding of {s} took place in {o}.
- The year in which {s} was founded is {o}.
- The town of {s} dates back to {o}.
- Records show that {s} was founded in {o}.
- It was in {o} that {s} was founded.
? In which year was {s} founded?
? When was {s} founded?
? When was {s} first settled?
? What year does {s} date from?
? What is the founding year of {s}?
? When was {s} built?
? In what year did {s} become a town?
? Can you give the year in which {s} was founded?
? Since what year has {s} stood?
? Give the year of the founding of {s}.

population town count
- {s} has {o} inhabitants.
- {s} has a population of {o}.
- {s} is home to {o} people.
- {s} counts {o} inhabitants.
- {s} is a town of {o} people.
- {s} has {o} people living in it.
- {s}'s population is {o}.
- The population of {s} is {o}.
- The number of people in {s} is {o}.
- The last count of the people of {s} gave {o}.
- Records show that {s} has {o} inhabitants.
- As many as {o} people live in {s}.
? How many people live in {s}?
? What is the population of {s}?
? How many inhabitants does {s} have?
? How big is the population of {s}?
? What is {s}'s population?
? How many people are there in {s}?
? What number of people live in {s}?
? Can you give the population of {s}?
? To how many people is {s} home?
? Give the number of inhabitants of {s}.

mayor town person
- {s} has {o} as its mayor.
- {s} is led by {o}.
- {s} chose {o} as mayor.
- {s} is governed by {o}.
- {s} had {o} for a mayor.
- {s} made {o} its mayor.
- {s}'s mayor is {o}.
- The mayor of {s} is {o}.
- The town of {s} is led by mayor {o}.
- The person who leads {s} as mayor is {o}.
- Records show that {s} has {o} as its mayor.
- It is {o} who leads {s} as mayor.
? Who is the mayor of {s}?
? Who leads {s}?
? Who governs {s}?
? Who is {s}'s mayor?
? Whom did {s} choose as mayor?
? Who is mayor in {s}?
? By whom is {s} led?
? Can you name the mayor of {s}?
? Which person is the mayor of {s}?
? Name the mayor of {s}.
"""

FIRM = """
founder firm person
- {s} was founded by {o}.
- {s} was started by {o}.
- {s} was set up by {o}.
- {s} was the creation of {o}.
- {s} has {o} as its founder.
- {s} owes its existence to {o}.
- {s}'s founder was {o}.
- The founder of {s} was {o}.
- The person who founded {s} was {o}.
- The firm of {s} was established by {o}.
- Records show that {s} was founded by {o}.
- It was {o} who founded {s}.
? Who founded {s}?
? Who was the founder of {s}?
? Who started {s}?
? By whom was {s} founded?
? Who set up {s}?
? Who was {s}'s founder?
? To whom does {s} owe its existence?
? Can you name the founder of {s}?
? Which person founded {s}?
? Name the founder of {s}.

seat firm town
- {s} has its seat in {o}.
- {s} is based in {o}.
- {s} has its head office in {o}.
- {s} is run from {o}.
- {s} works out of {o}.
- {s} is a firm in {o}.
- {s}'s seat is in {o}.
- The seat of {s} is in {o}.
- The town where {s} is based is {o}.
- The head office of {s} is in {o}.
- Records show that {s} has its seat in {o}.
- It is in {o} that {s} is based.
? Where does {s} have its seat?
? Where is {s} based?
? In which town is {s} based?
? What is the seat of {s}?
? Where is the head office of {s}?
? Which town is {s} run from?
? In what town does {s} have its head office?
? Can you name the town where {s} is based?
? What town is the seat of {s} in?
? Name the town from which {s} is run.

staff firm count
- {s} employs {o} people.
- {s} has a staff of {o}.
- {s} has {o} workers.
- {s} gives work to {o} people.
- {s} is a firm of {o} workers.
- {s} pays {o} people.
- {s}'s staff numbers {o}.
- The staff of {s} numbers {o}.
- The number of workers at {s} is {o}.
- The firm of {s} counts {o} workers.
- Records show that {s} employs {o} people.
- As many as {o} people work at {s}.
? How many people does {s} employ?
? How many workers does {s} have?
? How large is the staff of {s}?
? What is the number of workers at {s}?
? How many people work at {s}?
? What is the size of {s}'s staff?
? To how many people does {s} give work?
? Can you give the number of people that {s} employs?
? What number of people are employed by {s}?
? Give the size of the staff of {s}.
"""

BOOK = """
author book person
- {s} was written by {o}.
- {s} is a book by {o}.
- {s} came from the pen of {o}.
- {s} was the work of {o}.
- {s} has {o} as its author.
- {s} is a novel by {o}.
- {s}'s author is {o}.
- The author of {s} is {o}.
- The person who wrote {s} is {o}.
- The novel {s} was written by {o}.
- Records show that {s} was written by {o}.
- It was {o} who wrote {s}.
? Who wrote {s}?
? Who is the author of {s}?
? By whom was {s} written?
? Whose book is {s}?
? Who is {s} by?
? What is the name of the author of {s}?
? From whose pen did {s} come?
? Can you name the author of {s}?
? Which person wrote {s}?
? Name the writer of {s}.

publication_year book year
- {s} was published in {o}.
- {s} came out in {o}.
- {s} appeared in {o}.
- {s} was first printed in {o}.
- {s} reached its readers in {o}.
- {s} is a book from {o}.
- {s}'s year of publication is {o}.
- The publication of {s} took place in {o}.
- The year in which {s} was published is {o}.
- The novel {s} appeared in {o}.
- Records show that {s} was published in {o}.
- It was in {o} that {s} was published.
? In which year was {s} published?
? When was {s} published?
? When did {s} come out?
? What year did {s} appear?
? What is the publication year of {s}?
? When was {s} first printed?
? In what year did {s} reach its readers?
? Can you give the year in which {s} was published?
? From what year is the book {s}?
? Give the year of publication of {s}.

hero book hero
- {s} tells the story of {o}.
- {s} has {o} as its hero.
- {s} follows the life of {o}.
- {s} is about {o}.
- {s} describes the adventures of {o}.
- {s} is the tale of {o}.
- {s}'s hero is {o}.
- The hero of {s} is {o}.
- The main character of {s} is {o}.
- The novel {s} tells the story of {o}.
- Readers of {s} remember its hero {o}.
- It is {o} who is the hero of {s}.
? Who is the hero of {s}?
? Whose story does {s} tell?
? Who is the main character of {s}?
? Who is {s} about?
? Whose life does {s} follow?
? What is the hero of {s} called?
? Whose adventures does {s} describe?
? Can you name the hero of {s}?
? Which character is the hero of {s}?
? Name the main character of {s}.

publisher book firm
- {s} was published by {o}.
- {s} was brought out by {o}.
- {s} was printed by {o}.
- {s} was put on the market by {o}.
- {s} has {o} as its publisher.
- {s} was sold by {o}.
- {s}'s publisher is {o}.
- The publisher of {s} is {o}.
- The firm that published {s} is {o}.
- The novel {s} was brought out by {o}.
- Records show that {s} was published by {o}.
- It was {o} that published {s}.
? Who published {s}?
? Which firm published {s}?
? Who is the publisher of {s}?
? By which firm was {s} published?
? Who brought out {s}?
? What is the name of the publisher of {s}?
? Which firm put {s} on the market?
? Can you name the publisher of {s}?
? What firm printed the book {s}?
? Name the firm that published {s}.
"""
