import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{byHabit,habitOf,isNmrp,peculiarityOf,vendorHabitOf,vendorOf}from"./chunk-XO55UBOG.js";import"./chunk-C4SNI4ID.js";export{byHabit,habitOf,isNmrp,peculiarityOf,vendorHabitOf,vendorOf};
